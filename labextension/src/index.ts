import cells from './plugins/cells';
import completion from './plugins/completion';
import endings from './plugins/endings';
import model from './plugins/model';
import panel from './plugins/panel';
import status from './plugins/status';

export default [model, panel, cells, completion, endings, status];

import cells from './plugins/cells';
import model from './plugins/model';
import panel from './plugins/panel';
import status from './plugins/status';

export default [model, panel, cells, status];

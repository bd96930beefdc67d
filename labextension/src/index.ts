import model from './plugins/model';
import panel from './plugins/panel';

export default [model, panel];

import { LabIcon } from '@jupyterlab/ui-components';
import svgstr from '../style/farcell.svg';

export const farcellIcon = new LabIcon({ name: 'farcell:cell', svgstr });

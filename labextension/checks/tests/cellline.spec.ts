import { remoteLine, withOption, withTarget } from '../../src/cellline';

describe('remoteLine', () => {
  it.each([
    ['%%remote', null],
    ['%%remote gpu-a\nx', 'gpu-a'],
    ['%%remote --in a,b gpu-a --detach\nx', 'gpu-a'],
    ['%%remote --sbatch=--exclusive --gpus 2\nx', null],
    ['%%time\n%%remote gpu-a\nx', 'gpu-a']
  ])('reads %j', (source, target) => {
    expect(remoteLine(source)?.target).toBe(target);
  });

  it.each(['', 'x = 1', '# %%remote', 'x\n%%remote gpu-a', '%remote status', '%%remotely', '%%local\nx'])(
    '%j runs here',
    source => {
      expect(remoteLine(source)).toBeNull();
    }
  );
});

describe('withTarget', () => {
  it.each([
    ['x = 1\ny', 'gpu-a', '%%remote gpu-a\nx = 1\ny'],
    ['x', '', '%%remote\nx'],
    ['%%remote\nx', 'gpu-a', '%%remote gpu-a\nx'],
    ['%%remote a --in z --detach\nx', 'b', '%%remote b --in z --detach\nx'],
    ['%%remote a --in z\nx', '', '%%remote --in z\nx'],
    ['%%time\n%%remote a\nx', 'b', '%%time\n%%remote b\nx'],
    ['%%remote a --in z\nx', null, 'x'],
    ['%%time\n%%remote a\nx', null, '%%time\nx'],
    ['%%local\nx', 'a', '%%remote a\nx'],
    ['x', null, 'x']
  ])('%j for %j is %j', (source, target, changed) => {
    expect(withTarget(source, target)).toBe(changed);
  });

  it('is undone by the way back', () => {
    for (const source of ['', 'x', '%%time\nx', '\n\nx', 'a\r\nb']) {
      expect(withTarget(withTarget(source, 'gpu-a'), null)).toBe(source);
    }
  });
});

describe('withOption', () => {
  it('adds and takes away one word, in remote cells alone', () => {
    expect(withOption('%%remote a\nx', '--detach', true)).toBe('%%remote a --detach\nx');
    expect(withOption('%%remote a --detach\nx', '--detach', true)).toBe('%%remote a --detach\nx');
    expect(withOption('%%remote --detach a\nx', '--detach', false)).toBe('%%remote a\nx');
    expect(withOption('x', '--detach', true)).toBe('x');
  });
});

import type { ICompletionContext } from '@jupyterlab/completer';
import { RemoteCompletions, wordsAt } from '../../src/completion';
import type { IRequests } from '../../src/requests';
import { TargetNames } from '../../src/targetnames';

const TARGETS = ['local', 'gpu-a', 'gpu-b'];

function texts(before: string): string[] | null {
  return wordsAt(before, TARGETS)?.words.map(each => each.text) ?? null;
}

describe('wordsAt', () => {
  it.each([
    ['%%remote gpu', ['gpu-a', 'gpu-b']],
    ['%%time\n%%remote gpu-b', ['gpu-b']],
    ['%%remote --det', ['--detach']],
    ['%%remote gpu-a --pl', ['--plan']],
    ['%%remote gpu-a g', []],
    ['%%remote --in x gp', ['gpu-a', 'gpu-b']],
    ['%%remote --mem g', []],
    ['%%remote --detach --det', []],
    ['x = 1\n%remote rest', ['restart', 'restore']],
    ['%remote restart gpu-a', ['gpu-a']],
    ['%remote pull x --target l', ['local']],
    ['%remote env s', ['sync', 'ship']],
    ['%remote env diff gpu-b', ['gpu-b']],
    ['%remote status ', []]
  ])('knows what may stand at the end of %j', (before, words) => {
    expect(texts(before)).toEqual(words);
  });

  it.each(['', 'x', '%%remote', '%%remotely x', '%%remote gpu-a\nx', 'x = 1\n%%remote g', '# %remote st'])(
    'has nothing to say at the end of %j',
    before => {
      expect(texts(before)).toBeNull();
    }
  );

  it('offers targets before options where nothing is written yet', () => {
    expect(texts('%%remote ')?.slice(0, 3)).toEqual(TARGETS);
    expect(texts('%%remote ')).toContain('--detach');
  });
});

describe('RemoteCompletions', () => {
  let asked = 0;
  const requests: IRequests = {
    request: async <T>() => {
      asked += 1;
      return { targets: TARGETS.map(name => ({ name })) } as T;
    },
    poll: () => Promise.reject(new Error('not asked for'))
  };
  const provider = new RemoteCompletions(new TargetNames(requests));

  it('counts characters, also those that are two units long', async () => {
    const text = '%remote vars gp\n';
    const reply = await provider.fetch({ text: `'🦆'; x\n${text}`, offset: 7 + text.length - 1 });
    expect([reply.start, reply.end]).toEqual([20, 22]);
    expect(reply.items.map(item => item.label)).toEqual(['gpu-a', 'gpu-b']);
  });

  it('asks for nothing on other lines', async () => {
    asked = 0;
    expect((await provider.fetch({ text: 'remote = gp', offset: 11 })).items).toEqual([]);
    expect(asked).toBe(0);
  });

  it('is for Python, and for a kernel that is not there yet', async () => {
    const context = (name?: string) =>
      ({ session: name ? { kernel: { name } } : null }) as unknown as ICompletionContext;
    expect(await provider.isApplicable(context())).toBe(true);
    expect(await provider.isApplicable(context('python3'))).toBe(true);
    expect(await provider.isApplicable(context('ir'))).toBe(false);
  });
});

import { boards, sparkline } from '../../src/boards';
import { covers, slice } from '../../src/slice';
import { bytes, duration, money } from '../../src/format';
import { Transcript } from '../../src/transcript';
import { errorsOf, filledFrom, formSchema, keysOf } from '../../src/targetschema';
import type { Gpu, Output, SessionGpus, TargetSchema } from '../../src/wire';

describe('format', () => {
  it('says durations, sizes and sums', () => {
    expect([0, 7.9, 725, 11220, 183600, -3].map(duration)).toEqual([
      '0:00',
      '0:07',
      '12:05',
      '3:07:00',
      '2 d 3 h',
      '0:00'
    ]);
    expect([0, 999, 1500, 999_950, 2e9, 150e6].map(bytes)).toEqual([
      '0 B',
      '999 B',
      '1.5 kB',
      '1.0 MB',
      '2.0 GB',
      '150 MB'
    ]);
    expect([money(3.2, 'EUR'), money(0.001, 'EUR'), money(0, 'EUR')]).toEqual([
      '3.20 EUR',
      '< 0.01 EUR',
      '0.00 EUR'
    ]);
  });
});

describe('slice', () => {
  it('draws what is in the window and little more', () => {
    const { first, end } = slice(2000, 46, { top: 46 * 1000, height: 460 });
    expect(first).toBeGreaterThan(980);
    expect(first).toBeLessThanOrEqual(1000);
    expect(end).toBeGreaterThanOrEqual(1010);
    expect(end - first).toBeLessThan(30);
  });

  it('stays within the list', () => {
    expect(slice(0, 46, { top: 0, height: 460 })).toEqual({ first: 0, end: 0 });
    expect(slice(3, 46, { top: 0, height: 460 })).toEqual({ first: 0, end: 3 });
    expect(slice(3, 46, { top: 10_000, height: 460 })).toEqual({ first: 3, end: 3 });
  });
});

describe('covers', () => {
  it('is so for as long as scrolling shows no gap, and not for much longer', () => {
    for (const step of [1, -1]) {
      let drawn = { top: 46 * 1000, height: 460 };
      let changes = 0;
      for (let row = 0; row <= 40; row++) {
        const wanted = { top: 46 * (1000 + step * row), height: 460 };
        if (!covers(drawn, wanted, 46)) {
          drawn = wanted;
          changes += 1;
        }
        const [has, sees] = [slice(2000, 46, drawn), slice(2000, 46, wanted, 1)];
        expect(has.first).toBeLessThanOrEqual(sees.first);
        expect(has.end).toBeGreaterThanOrEqual(sees.end);
      }
      expect(changes).toBe(8);
    }
  });

  it('is not so when the window has become much higher', () => {
    expect(covers({ top: 0, height: 400 }, { top: 0, height: 460 }, 46)).toBe(true);
    expect(covers({ top: 0, height: 400 }, { top: 0, height: 900 }, 46)).toBe(false);
  });
});

describe('Transcript', () => {
  const note = (count: number) => `[${count} B]`;
  let number = 0;
  const output = (type: Output['type'], more: Partial<Output> = {}) =>
    ({ number: ++number, type, ...more }) as Output;

  it('keeps what a notebook would', () => {
    const log = new Transcript();
    expect(log.add(output('stream', { name: 'stdout', text: 'a\n' }), note)).toBe(true);
    expect(log.add(output('display_data', { data: { 'text/plain': 'first' }, display_id: 'd' }), note)).toBe(
      true
    );
    expect(
      log.add(output('update_display_data', { data: { 'text/plain': 'last' }, display_id: 'd' }), note)
    ).toBe(false);
    expect(log.add(output('error', { ename: 'E', evalue: 'v', traceback: ['t'] }), note)).toBe(true);
    expect(log.outputs).toEqual([
      { output_type: 'stream', name: 'stdout', text: 'a\n' },
      { output_type: 'display_data', data: { 'text/plain': 'last' }, metadata: {} },
      { output_type: 'error', ename: 'E', evalue: 'v', traceback: ['t'] }
    ]);
  });

  it('is cleared at once, or when the next output comes', () => {
    const log = new Transcript();
    log.add(output('stream', { text: 'a' }), note);
    log.add(output('clear_output', { wait: true }), note);
    expect(log.outputs.length).toBe(1);
    expect(log.add(output('stream', { text: 'b' }), note)).toBe(false);
    expect(log.outputs).toEqual([{ output_type: 'stream', name: 'stdout', text: 'b' }]);
    log.add(output('clear_output', { wait: false }), note);
    expect(log.outputs).toEqual([]);
  });

  it('says what is too large to be shown', () => {
    const log = new Transcript();
    log.add(output('display_data', { data: {}, left_out_bytes: 7 }), note);
    expect(log.outputs[0]).toMatchObject({ text: '[7 B]' });
  });
});

describe('boards', () => {
  const gpu = (uuid: string | null, use: number) =>
    ({ vendor: 'nvidia', index: 0, uuid, utilisation_percent: use }) as Gpu;
  const said = (session: string, target: string, at: number, ...gpus: Gpu[]) =>
    ({ session, target, at, gpus, state: 'devices' }) as SessionGpus;

  it('shows a board that two sessions see once, as it was read last', () => {
    const found = boards(
      [said('a', 'one', 1, gpu('u', 10)), said('b', 'two', 2, gpu('u', 20))],
      null,
      () => 'box'
    );
    expect(found.map(board => [board.gpu.utilisation_percent, board.targets])).toEqual([
      [20, ['one', 'two']]
    ]);
  });

  it('keeps boards apart that cannot be told from each other', () => {
    expect(
      boards([said('a', 'one', 1, gpu(null, 1)), said('b', 'two', 1, gpu(null, 2))], null, () => '').length
    ).toBe(2);
  });

  it('draws five minutes, the newest at the right', () => {
    const samples = [
      { at: 1000, utilisation_percent: 0 },
      { at: 1150, utilisation_percent: null },
      { at: 1300, utilisation_percent: 100 }
    ];
    expect(sparkline(samples)).toBe('0.0,19.0 100.0,1.0');
    expect(sparkline([])).toBe('');
  });
});

describe('a target in a form', () => {
  const said: TargetSchema = {
    backends: ['local', 'ssh'],
    builtin: ['local'],
    order: ['backend', 'host', 'keep_s', 'setup', 'budget', 'env'],
    json_schema: {
      type: 'object',
      $defs: {
        Limits: {
          type: 'object',
          title: 'Limits',
          properties: { day: { anyOf: [{ type: 'number' }, { type: 'null' }], default: null } }
        }
      },
      properties: {
        host: {
          anyOf: [{ type: 'string' }, { type: 'null' }],
          default: null,
          title: 'Host',
          description: 'Where.',
          'x-backends': ['ssh']
        },
        backend: { type: 'string', default: 'local', enum: ['local', 'ssh'], title: 'Backend' },
        keep_s: {
          anyOf: [{ type: 'number' }, { const: 'inf' }],
          default: 600,
          title: 'Kept',
          description: 'Seconds.'
        },
        setup: { type: 'array', items: { type: 'string' }, default: [], title: 'Setup' },
        budget: { $ref: '#/$defs/Limits', title: 'Budget' },
        env: { type: 'object', additionalProperties: { type: 'string' }, title: 'Environment' }
      }
    }
  };

  it('has the fields of its backend, in order, and no defaults that would be written to the file', () => {
    const local = formSchema(said, 'local', value => `Without it: ${value}.`);
    expect(Object.keys(local.properties ?? {})).toEqual(['backend', 'keep_s', 'setup', 'budget', 'env']);
    const ssh = formSchema(said, 'ssh', value => `Without it: ${value}.`);
    expect(Object.keys(ssh.properties ?? {})[1]).toBe('host');
    expect(ssh.properties?.host).toEqual({
      type: 'string',
      title: 'Host',
      description: 'Where.',
      'x-backends': ['ssh']
    });
    expect(ssh.properties?.keep_s).toEqual({
      type: 'string',
      title: 'Kept',
      description: 'Seconds. Without it: 600.'
    });
    expect(ssh.properties?.budget.properties?.day).toEqual({ type: 'number' });
    expect(JSON.stringify(ssh)).not.toMatch(/"default"|anyOf|\$ref/);
  });

  it('sends what was filled in, numbers as numbers', () => {
    const filled = {
      backend: 'ssh',
      host: '',
      keep_s: '30',
      setup: ['', 'module load cuda'],
      budget: { day: undefined },
      env: { A: '1' }
    };
    expect(keysOf(filled, said)).toEqual({
      backend: 'ssh',
      keep_s: 30,
      setup: ['module load cuda'],
      env: { A: '1' }
    });
    expect(keysOf({ keep_s: 'inf' }, said)).toEqual({ keep_s: 'inf' });
    expect(filledFrom({ keep_s: 30, host: 'h' }, formSchema(said, 'ssh', String))).toEqual({
      keep_s: '30',
      host: 'h'
    });
  });

  it('shows the server’s words where they belong', () => {
    const fields = [
      { field: 'keys.host', message: 'no such machine' },
      { field: 'keys.env.A', message: 'not a text' },
      { field: 'keys.partition', message: 'not with ssh' },
      { field: 'name', message: 'is taken' }
    ];
    const { byField, others } = errorsOf(fields, formSchema(said, 'ssh', String));
    expect(byField).toEqual({ host: { __errors: ['no such machine'] }, env: { __errors: ['not a text'] } });
    expect(others).toEqual(['partition: not with ssh', 'name: is taken']);
  });
});

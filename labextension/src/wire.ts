// Made by tools/wire_types.py from jupyter_ext/farcell/server/schemas.py; see there for what each field means.

export interface BudgetFace {
  target: string | null;
  state: 'ok' | 'warn' | 'refuse' | 'unknown';
  text: string;
  day: Spent | null;
  month: Spent | null;
}

export interface CancelRequest {
  run?: string | null;
  yes?: boolean;
}

export interface Changed {
  server: string;
  revision: number;
}

export interface Done {
  session: string;
  done: 'stopped' | 'interrupted' | 'restarted' | 'cancelled' | 'kept' | 'nothing';
}

export interface EndedRun {
  id: string;
  session: string;
  cell: string | null;
  request: string | null;
  sent_bytes: number;
  received_bytes: number | null;
}

export interface FieldProblem {
  field: string;
  message: string;
}

export interface Gpu {
  vendor: string;
  index: number;
  uuid: string | null;
  name: string | null;
  utilisation_percent: number | null;
  memory_used_bytes: number | null;
  memory_total_bytes: number | null;
  temperature_c: number | null;
  power_w: number | null;
  power_limit_w: number | null;
  processes: GpuProcess[] | null;
  error: string | null;
  faults: { [key: string]: string };
}

export interface GpuHistory {
  vendor: string;
  index: number;
  uuid: string | null;
  samples: GpuSample[];
}

export interface GpuProcess {
  pid: number;
  memory_bytes: number | null;
  owner: 'session' | 'user' | 'other' | 'unknown';
  is_kernel: boolean;
}

export interface GpuSample {
  at: number;
  utilisation_percent: number | null;
  memory_used_bytes: number | null;
  temperature_c: number | null;
  power_w: number | null;
}

export interface InterruptRequest {
  run?: string | null;
}

export interface LiveRun {
  id: string;
  session: string;
  target: string;
  notebook: string | null;
  state: 'queued' | 'running' | 'untaken';
  since: number | null;
  seen_from_start: boolean;
  started: number | null;
  cell: string | null;
  request: string | null;
  sent_bytes: number | null;
  arrived_bytes: number | null;
  arriving_bytes: number | null;
}

export interface LogQuery {
  after?: number;
  limit?: number;
}

export interface NewTarget {
  keys: { [key: string]: unknown };
  name: string;
}

export interface Output {
  number: number;
  type: 'stream' | 'display_data' | 'update_display_data' | 'execute_result' | 'error' | 'clear_output';
  name?: string | null;
  text?: string | null;
  data?: { [key: string]: unknown } | null;
  metadata?: { [key: string]: unknown } | null;
  display_id?: string | null;
  execution_count?: number | null;
  ename?: string | null;
  evalue?: string | null;
  traceback?: string[] | null;
  wait?: boolean | null;
  left_out_bytes?: number | null;
}

export interface PlaceFault {
  targets: string[];
  reason: string;
  message: string;
  at: number;
}

export interface Problem {
  message: string;
  reason?: string | null;
  fields?: FieldProblem[];
  runs?: string[];
}

export interface Refreshed {
  server: string;
  revision: number;
}

export interface RestartRequest {
  yes?: boolean;
}

export interface RunFace {
  id: string;
  session: string | null;
  target: string;
  notebook: string | null;
  cell: string | null;
  said_by: string | null;
  state: string;
  is_live: boolean;
  started: number | null;
  ended: number | null;
  seconds: number | null;
  gpu_seconds: number | null;
  sent_bytes: number | null;
  received_bytes: number | null;
  peak_gpu_bytes: number | null;
  gpu_utilisation: number | null;
  part: number | null;
  cost: number | null;
}

export interface RunList {
  runs: RunFace[];
  next: string | null;
  currency: string;
}

export interface RunLog {
  run: string;
  session: string;
  target: string;
  outputs: Output[];
  next: number | null;
  is_over: boolean;
  is_whole: boolean;
}

export interface RunQuery {
  limit?: number;
  before?: string | null;
  target?: string | null;
  session?: string | null;
  state?: string | null;
}

export interface SessionDetail {
  id: string;
  target: string;
  backend: string;
  machine: string;
  is_here: boolean;
  job: string | null;
  state: 'waiting' | 'starting' | 'idle' | 'busy' | 'dead' | 'silent' | 'unheard' | 'other-version' | 'over';
  detail: string | null;
  notebook: string | null;
  run: string | null;
  waiting_runs: string[];
  untaken_runs: string[];
  runs_left: string[];
  is_driven: boolean | null;
  observers: number | null;
  idle_since: number | null;
  ends_at: number | null;
  ends_why: 'idle' | 'unattended' | 'wall-time' | null;
  ends_lead_s: number | null;
  started: number | null;
  memory_bytes: number | null;
  python: string | null;
  kernel_pid: number | null;
  epoch: number | null;
  version: string | null;
  actions: ('stop' | 'interrupt' | 'restart' | 'cancel')[];
  is_live: boolean;
  as_of: number;
  connections: string[] | null;
  journal_bytes: number | null;
  direct: boolean | null;
  capabilities: { [key: string]: unknown } | null;
  runtime: string;
}

export interface SessionFace {
  id: string;
  target: string;
  backend: string;
  machine: string;
  is_here: boolean;
  job: string | null;
  state: 'waiting' | 'starting' | 'idle' | 'busy' | 'dead' | 'silent' | 'unheard' | 'other-version' | 'over';
  detail: string | null;
  notebook: string | null;
  run: string | null;
  waiting_runs: string[];
  untaken_runs: string[];
  runs_left: string[];
  is_driven: boolean | null;
  observers: number | null;
  idle_since: number | null;
  ends_at: number | null;
  ends_why: 'idle' | 'unattended' | 'wall-time' | null;
  ends_lead_s: number | null;
  started: number | null;
  memory_bytes: number | null;
  python: string | null;
  kernel_pid: number | null;
  epoch: number | null;
  version: string | null;
  actions: ('stop' | 'interrupt' | 'restart' | 'cancel')[];
  is_live: boolean;
  as_of: number;
}

export interface SessionGpus {
  session: string;
  target: string;
  state: 'devices' | 'none' | 'error' | 'unasked';
  message: string | null;
  own_memory_bytes: number | null;
  drivers: { [key: string]: string };
  gpus: Gpu[];
  at: number | null;
}

export interface SessionList {
  server: string;
  revision: number;
  sessions: SessionFace[];
  faults: PlaceFault[];
}

export interface SessionTelemetry {
  session: string;
  target: string;
  state: 'devices' | 'none' | 'error' | 'unasked';
  message: string | null;
  own_memory_bytes: number | null;
  drivers: { [key: string]: string };
  gpus: Gpu[];
  at: number | null;
  history: GpuHistory[];
}

export interface Snapshot {
  server: string;
  revision: number;
  version: string;
  watching: number;
  looked_at: number | null;
  root: string | null;
  default_target: string;
  currency: string;
  targets: TargetFace[];
  target_problems: string[];
  sessions: SessionFace[];
  faults: PlaceFault[];
  runs_in_progress: LiveRun[];
  runs_ended: EndedRun[];
  telemetry: SessionGpus[];
  tasks: Task[];
}

export interface Spent {
  limit: number | null;
  cost: number;
  unpriced_s: number;
}

export interface Step {
  step: string;
  seconds: number;
}

export interface StopRequest {
  yes?: boolean;
}

export interface TargetDetail {
  name: string;
  state: 'ok' | 'unasked' | 'fault' | 'wrong';
  backend: string | null;
  where: string;
  python: string | null;
  is_default: boolean;
  is_builtin: boolean;
  is_own: boolean;
  file: string | null;
  problems: string[];
  fault: PlaceFault | null;
  price_per_hour: number | null;
  looked_at: number | null;
  keys: { [key: string]: unknown };
  text: string | null;
}

export interface TargetFace {
  name: string;
  state: 'ok' | 'unasked' | 'fault' | 'wrong';
  backend: string | null;
  where: string;
  python: string | null;
  is_default: boolean;
  is_builtin: boolean;
  is_own: boolean;
  file: string | null;
  problems: string[];
  fault: PlaceFault | null;
  price_per_hour: number | null;
  looked_at: number | null;
}

export interface TargetKeys {
  keys: { [key: string]: unknown };
}

export interface TargetList {
  default: string;
  currency: string;
  file: string;
  targets: TargetFace[];
  problems: string[];
}

export interface TargetSchema {
  json_schema: { [key: string]: unknown };
  backends: string[];
  order: string[];
  builtin: string[];
}

export interface Task {
  id: string;
  kind: 'test-target';
  target: string;
  state: 'running' | 'ok' | 'failed';
  doing: string | null;
  steps: Step[];
  message: string | null;
  started: number;
  ended: number | null;
}

export interface Telemetry {
  server: string;
  revision: number;
  sessions: SessionTelemetry[];
}

export interface TelemetryQuery {
  session?: string | null;
  since?: number;
}

export interface Usage {
  by: 'target' | 'day' | 'notebook';
  currency: string;
  today: UsageRow[];
  month: UsageRow[];
  budgets: BudgetFace[];
}

export interface UsageQuery {
  by?: 'target' | 'day' | 'notebook';
}

export interface UsageRow {
  key: string;
  seconds: number;
  gpu_seconds: number;
  run_seconds: number;
  runs: number;
  sent_bytes: number;
  received_bytes: number;
  cost: number | null;
  unpriced_s: number;
  open: number;
  peak_gpu_bytes: number | null;
  gpu_utilisation: number | null;
}

export interface Variable {
  name: string;
  type: string;
  shape: string | null;
  bytes: number | null;
  preview: string | null;
}

export interface Variables {
  session: string;
  variables: Variable[] | null;
}

export interface Watch {
  page: string;
  until: number;
  server: string;
  revision: number;
  snapshot: Snapshot | null;
}

export interface WatchRequest {
  page: string;
  within_s?: number;
  snapshot?: boolean;
}

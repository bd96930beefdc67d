/** Numbers in a person's words, the same everywhere. */

/** `0:07`, `12:05`, `3:07:00`, `2 d 3 h`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [days, hours, minutes] = [
    Math.floor(whole / 86400),
    Math.floor(whole / 3600) % 24,
    Math.floor(whole / 60) % 60
  ];
  if (days) {
    return `${days} d ${hours} h`;
  }
  const two = (n: number) => String(n).padStart(2, '0');
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** As farcell says them elsewhere: `512 B`, `1.5 kB`, `2.0 GB`, in powers of ten. */
export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let [value, at] = [count, 0];
  while (value >= 999.5 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${at === 0 || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

/** `3.20 EUR`; cheaper than a cent: `< 0.01 EUR`. */
export function money(amount: number, currency: string): string {
  return amount > 0 && amount < 0.01 ? `< 0.01 ${currency}` : `${amount.toFixed(2)} ${currency}`;
}

/** The time of day, with the day if that is not today. */
export function moment(seconds: number, now = new Date()): string {
  const at = new Date(seconds * 1000);
  const time = at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  return at.toDateString() === now.toDateString()
    ? time
    : `${at.toLocaleDateString([], { month: 'short', day: 'numeric' })} ${time}`;
}

/** The last part of a path. */
export function baseName(file: string): string {
  return file.split('/').pop() || file;
}

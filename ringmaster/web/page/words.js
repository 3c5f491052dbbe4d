// Values as people read them. Pure.

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;

export function plural(count, noun) {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

export function formatCount(count) {
  return Math.round(count).toLocaleString('en-US');
}

export function formatDuration(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < MINUTE) return `${Math.round(seconds)} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ${Math.floor(seconds % MINUTE)} s`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ${Math.floor((seconds % HOUR) / MINUTE)} min`;
  return `${Math.floor(seconds / DAY)} d ${Math.floor((seconds % DAY) / HOUR)} h`;
}

export function formatAgo(at, now = Date.now() / 1000) {
  if (at === null || at === undefined) return '–';
  const past = now - at;
  const size = Math.abs(past);
  let words;
  if (size < 5) return 'now';
  if (size < MINUTE) words = `${Math.round(size)} s`;
  else if (size < HOUR) words = `${Math.floor(size / MINUTE)} min`;
  else if (size < DAY) words = `${Math.floor(size / HOUR)} h`;
  else words = `${Math.floor(size / DAY)} d`;
  return past >= 0 ? `${words} ago` : `in ${words}`;
}

export function formatTime(at) {
  if (at === null || at === undefined) return '–';
  return new Date(at * 1000).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}

export function formatCost(usd) {
  if (usd === null || usd === undefined) return '–';
  return `$${usd.toFixed(usd !== 0 && Math.abs(usd) < 0.1 ? 4 : 2)}`;
}

export function formatBytes(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let size = bytes;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit && size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

import type { Cursor } from "./types.js";

/** Returns the cursor of a time in RFC 3339, exactly: the digits are read as one number, as they are in the JSON of other transports. */
export function cursorOf(time: string): Cursor {
  const seconds = Date.parse(time.slice(0, 19) + "Z") / 1000;
  const fraction = time.slice(19, -1); // with its point, or nothing
  return seconds < 0 ? Number((seconds + Number(fraction)).toFixed(6)) : Number(seconds + fraction);
}

/** Returns a cursor as RFC 3339 with six decimals. */
export function timeOf(cursor: Cursor): string {
  let seconds = Math.floor(cursor);
  let micros = Math.round((cursor - seconds) * 1e6);
  if (micros === 1e6) {
    seconds++;
    micros = 0;
  }
  return new Date(seconds * 1000).toISOString().slice(0, 19) + "." + String(micros).padStart(6, "0") + "Z";
}

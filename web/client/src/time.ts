import type { Cursor } from "./types.js";

/** Returns the cursor of a time in RFC 3339, exactly: its digits are read as one number, as they are in the JSON of other transports. */
export function cursorOf(time: string): Cursor {
  return Number(Date.parse(time.slice(0, 19) + "Z") / 1000 + time.slice(19, -1)); // the fraction has its point
}

/** Returns a cursor as RFC 3339 with six decimals. */
export function timeOf(cursor: Cursor): string {
  return new Date(Math.floor(cursor) * 1000).toISOString().slice(0, 19) + (cursor % 1).toFixed(6).slice(1) + "Z";
}

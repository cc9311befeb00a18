/**
 * Has two builds of the same sources give the same bytes: `deno compile` writes down when each file
 * that it embeds was last changed, and that is when it was bundled or downloaded.
 */
import { runtimeEndOf } from "./pieces.ts";

/** What is written down of a file: its name's end, its place and whether it is text, and its time. */
const TIME = /("o":\[\d+,\d+\](?:,"u":(?:true|false))?(?:,"c":\[\d+,\d+\])?,"t":)(\d{13})(?=[,}])/g;

/**
 * Gives all files that a program embeds the same time; programs for other systems than Linux are left
 * as they are, since they may be signed.
 *
 * @param time in milliseconds since 1970, of 13 digits: later than September 2001
 */
export async function setFileTimes(program: string, time: number): Promise<void> {
  const start = await runtimeEndOf(program);
  if (start === undefined) return;
  const bytes = await Deno.readFile(program);
  const text = new TextDecoder("latin1").decode(bytes.subarray(start));
  using file = await Deno.open(program, { write: true });
  for (const { index, 1: before = "", 2: old = "" } of text.matchAll(TIME)) {
    const digits = new TextEncoder().encode(String(time));
    if (digits.length !== old.length) throw new Error(`The time ${time} has not 13 digits`);
    await file.seek(start + index + before.length, Deno.SeekMode.Start);
    await file.write(digits);
  }
}

/** What age encrypts, in its form for text (age's specification, "ASCII armor"; RFC 7468, strict). */
import { Buffer } from "node:buffer";
import { OperationError } from "../../core/plugin.ts";
import { ARMOR } from "./contents.ts";

const END = "-----END AGE ENCRYPTED FILE-----";
/** Characters of every line but the last. */
const LINE = 64;

/**
 * Gives the bytes behind the text. The stream fails with `bad_archive` or `truncated_archive`.
 */
export async function* dearmored(text: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  let rest = "";
  let state: "before" | "full" | "short" | "after" = "before";
  for await (const chunk of text) {
    const lines = (rest + new TextDecoder("latin1").decode(chunk)).split("\n");
    rest = lines.pop() ?? "";
    const full: string[] = [];
    for (const line of [...lines.map((each) => each.replace(/\r$/, ""))]) {
      if (state === "before" && line === ARMOR) state = "full";
      else if ((state === "full" || state === "short") && line === END) state = "after";
      else if (state === "full" && /^[A-Za-z0-9+/]+={0,2}$/.test(line) && line.length <= LINE) {
        if (line.length < LINE || line.endsWith("=")) state = "short";
        full.push(line);
      } else if (state !== "after" || line.trim() !== "") throw damagedArmor();
    }
    if (rest.length > LINE + 1) throw damagedArmor();
    if (full.length > 0) yield new Uint8Array(Buffer.from(full.join(""), "base64"));
  }
  if (state !== "after" && rest.trim() === END) state = "after";
  else if (rest.trim() !== "") throw damagedArmor();
  if (state === "after") return;
  throw new OperationError("The encrypted text breaks off: its last line is missing", {
    code: "truncated_archive",
  });
}

function damagedArmor(): OperationError {
  return new OperationError("The encrypted text is damaged: a line of it cannot be one of age's", {
    code: "bad_archive",
  });
}

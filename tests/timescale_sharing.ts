/**
 * One transaction that all clients of the TimescaleDB of the tests share. That build has a single
 * session, so a client that exports a snapshot and keeps its transaction open would keep everybody
 * else out, whom it exports it for. Here the others join its transaction: what they say to begin and
 * end theirs is answered without being done.
 */
import { Buffer } from "node:buffer";

/** Who has begun a transaction, and how each client is answered. */
export interface Sharing<Client> {
  /** The answer to statements that the session must not see; undefined for all others. */
  answer(client: Client, batch: Uint8Array): Uint8Array | undefined;
  /** What a client is told of an answer of the session: the state of its own transaction. */
  told(client: Client, batch: Uint8Array, answer: Uint8Array): Uint8Array;
  /** A client has gone; tells whether the transaction was its own, and has to be rolled back. */
  gone(client: Client): boolean;
}

const BEGIN = /^\s*(begin|start\s+transaction)\b/i;
const SET = /^\s*set\s+(local\s+)?transaction\b/i;
const END = /^\s*(commit|end|rollback|abort)\b/i;

/** Makes the state that clients share. */
export function shareTransactions<Client>(): Sharing<Client> {
  let owner: Client | undefined;
  const joined = new Set<Client>();
  return {
    answer(client, batch) {
      if (owner === undefined || owner === client) return undefined;
      const text = simpleText(batch);
      if (text === undefined) return undefined;
      if (BEGIN.test(text)) joined.add(client);
      else if (END.test(text)) joined.delete(client);
      else if (!SET.test(text)) return undefined;
      const tag = SET.test(text) ? "SET" : text.trim().split(/\W/)[0]?.toUpperCase() ?? "";
      return Buffer.concat([frame("C", `${tag}\0`), frame("Z", joined.has(client) ? "T" : "I")]);
    },
    told(client, batch, answer) {
      const state = answer.at(-1) ?? 0;
      if (owner === undefined && String.fromCharCode(state) === "T") owner = client;
      if (owner === client) {
        if (String.fromCharCode(state) === "I") owner = undefined;
        return answer;
      }
      if (owner === undefined || batch.length === 0) return answer;
      const told = Uint8Array.from(answer);
      told[told.length - 1] = (joined.has(client) ? "T" : "I").charCodeAt(0);
      return told;
    },
    gone(client) {
      joined.delete(client);
      if (owner !== client) return false;
      owner = undefined;
      return true;
    },
  };
}

/** The text of a simple query; undefined for other messages. */
function simpleText(batch: Uint8Array): string | undefined {
  const bytes = Buffer.from(batch.buffer, batch.byteOffset, batch.byteLength);
  return bytes.toString("latin1", 0, 1) === "Q"
    ? bytes.toString("utf8", 5, bytes.length - 1)
    : undefined;
}

function frame(type: string, body: string): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, "latin1");
  head.writeInt32BE(Buffer.byteLength(body) + 4, 1);
  return Buffer.concat([head, Buffer.from(body)]);
}

import assert from "assert";
import { transportFailure } from "../../core/postgres/connect_errors.ts";
import { versionNumber } from "../../core/postgres/server_state.ts";
import { readServerError } from "../../core/postgres/errors.ts";
import { ProtocolError } from "../../core/postgres/message_reader.ts";
import { readTag } from "../../core/postgres/replies.ts";

Deno.test("transportFailure: errors are known by their name or code, of every runtime", () => {
  const named = (name: string, message = "words of the system") =>
    Object.assign(new Error(message), { name });
  const coded = (code: string) => Object.assign(new Error("words of the system"), { code });
  const cases: [Error, string, boolean][] = [
    [named("ConnectionRefused"), "connection_refused", true],
    [coded("ECONNREFUSED"), "connection_refused", true],
    [named("ConnectionReset"), "connection_reset", true],
    [named("BrokenPipe"), "connection_reset", true],
    [coded("EPIPE"), "connection_reset", true],
    [named("NotFound"), "socket_not_found", true],
    [coded("ENOENT"), "socket_not_found", true],
    [named("NotFound", "failed to lookup address information: x"), "host_not_found", true],
    [named("Error", "failed to lookup address information: x"), "host_not_found", true],
    [coded("ENOTFOUND"), "host_not_found", true],
    [coded("EAI_AGAIN"), "host_not_found", true],
    [named("TimedOut"), "connect_timeout", true],
    [named("Error", "No route to host (os error 113)"), "host_unreachable", true],
    [coded("ENETUNREACH"), "host_unreachable", true],
    [named("PermissionDenied"), "permission_denied", false],
    [new ProtocolError("odd"), "protocol_error", false],
    [named("Error", "something new"), "connection_failed", false],
  ];
  for (const [thrown, code, retryable] of cases) {
    const error = transportFailure("db:5432", thrown);
    assert.equal(error.kind, "connection");
    assert.equal(error.code, code, Deno.inspect(thrown));
    assert.equal(error.details["retryable"], retryable);
    assert.ok(error.message.startsWith("Cannot connect to db:5432: "));
    assert.equal(error.cause, thrown);
  }
});

Deno.test("readServerError: the severity is the one in English, and unknown fields are passed over", () => {
  const bytes = new TextEncoder().encode(
    "SFEHLER\0VERROR\0C42601\0Mkaputt\0P7\0p3\0qSELECT\0Wdort\0ss\0tt\0cc\0dd\0nn\0Ff.c\0L1\0Zx\0\0",
  );
  assert.deepEqual(readServerError(bytes, 0, bytes.length), {
    severity: "ERROR",
    sqlstate: "42601",
    message: "kaputt",
    position: 7,
    internalPosition: 3,
    internalQuery: "SELECT",
    where: "dort",
    schema: "s",
    table: "t",
    column: "c",
    constraint: "n",
  });
});

Deno.test("readTag: splits a command's tag from its count", () => {
  const cases: [string, [string, number]][] = [
    ["INSERT 0 5", ["INSERT", 5]],
    ["SELECT 3", ["SELECT", 3]],
    ["CREATE TABLE", ["CREATE TABLE", 0]],
    ["CREATE TABLE AS", ["CREATE TABLE AS", 0]],
    ["REFRESH MATERIALIZED VIEW", ["REFRESH MATERIALIZED VIEW", 0]],
    ["COPY 12345678901", ["COPY", 12345678901]],
    ["", ["", 0]],
  ];
  for (const [tag, expected] of cases) assert.deepEqual(readTag(tag), expected);
});

Deno.test("versionNumber: reads what servers of all ages report", () => {
  const cases: [string, number][] = [
    ["15.18 (Debian 15.18-0+deb12u1)", 150018],
    ["17beta1", 170000],
    ["18devel", 180000],
    ["10.0", 100000],
    ["9.6.24", 90624],
    ["", 0],
  ];
  for (const [version, expected] of cases) assert.equal(versionNumber(version), expected);
});

/**
 * What a plugin gets when it imports "observatory": the values of the contract, as JavaScript. A
 * test compares it with `core/plugin.ts`, whose types a plugin's editor sees.
 */

/** The names that can be imported from it; all others are types. */
export const OBSERVATORY_EXPORTS: ReadonlySet<string> = new Set([
  "definePlugin",
  "command",
  "defineSeed",
  "OperationError",
  "DatabaseError",
]);

/** The module's text. */
export const OBSERVATORY_MODULE = `export function definePlugin(plugin) {
  return plugin;
}
export function command(declaration) {
  return declaration;
}
export function defineSeed(seed) {
  const rows = command({
    summary: "Give the rows of the seed",
    examples: [],
    effect: "read",
    database: "none",
    args: {
      file: { help: "What its random numbers are drawn by", required: true },
      environment: { help: "The environment", required: true },
    },
    run({ log, config }, { args: { file, environment } }) {
      const get = (name) => config.get(name);
      const ctx = { random: seededRandom(file), log, config: { get }, env: environment };
      return Promise.resolve({
        data: { table: seed.table ?? null },
        rows: ReadableStream.from(seedParts(() => seed.rows(ctx))),
      });
    },
  });
  return definePlugin({ name: "seed", api: 1, summary: "Rows", commands: { rows } });
}
async function* seedParts(give) {
  let rows = [];
  let size = 0;
  let count = 0;
  yield { kind: "columns", columns: [{ name: "row", type: 114 }] };
  for await (const row of give()) {
    const text = seedObject(row, \`Row \${++count}\`, ": ");
    rows.push([text]);
    size += text.length;
    if (size < 65536 && rows.length < 1000) continue;
    yield { kind: "rows", rows };
    rows = [];
    size = 0;
  }
  yield { kind: "rows", rows };
  yield { kind: "end", command: "SEED", count };
}
function seedObject(value, place, separator) {
  const prototype = typeof value === "object" && value && Object.getPrototypeOf(value);
  if (!value || prototype !== null && prototype !== Object.prototype) {
    throw seedProblem(place, "not a plain object", "Yield objects whose keys name columns");
  }
  const members = Object.entries(value).map(([key, each]) =>
    \`\${JSON.stringify(key)}:\${seedText(each, \`\${place}\${separator}\${key}\`)}\`
  );
  return \`{\${members.join(",")}}\`;
}
function seedText(value, place) {
  if (value === null || typeof value === "boolean" || typeof value === "bigint") {
    return String(value);
  }
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    if (Number.isFinite(value)) return Object.is(value, -0) ? "-0" : String(value);
    throw seedProblem(place, \`\${value}, which JSON lacks\`, \`Give the text "\${value}"\`);
  }
  if (value instanceof Date) {
    if (!Number.isNaN(value.getTime())) return JSON.stringify(value.toISOString());
    throw seedProblem(place, "no valid date");
  }
  if (value instanceof Uint8Array) {
    const digits = Array.from(value, (byte) => byte.toString(16).padStart(2, "0"));
    return JSON.stringify(\`\\\\x\${digits.join("")}\`);
  }
  if (Array.isArray(value)) {
    const texts = Array.from(value, (each, index) => seedText(each, \`\${place}[\${index}]\`));
    return \`[\${texts.join(",")}]\`;
  }
  if (typeof value === "object") return seedObject(value, place, ".");
  const what = value === undefined ? "undefined" : \`a \${typeof value}\`;
  throw seedProblem(place, what, "Give null where there is no value");
}
function seedProblem(place, what, hint) {
  const options = { code: "seed_value" };
  return new OperationError(
    \`\${place} is \${what}\`,
    hint === undefined ? options : { ...options, hint },
  );
}
function seededRandom(text) {
  let [a, b, c, counter] = [0x6f627365, 0x72766174, 0x6f727921, 1];
  const next = () => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  };
  for (const character of text) {
    a ^= character.codePointAt(0) ?? 0;
    next();
  }
  for (let step = 0; step < 16; step++) next();
  return () => ((next() >>> 5) * 2 ** 26 + (next() >>> 6)) / 2 ** 53;
}
export class OperationError extends Error {
  name = "OperationError";
  kind;
  code;
  hint;
  excerpt;
  details;
  constructor(message, options = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = options.kind ?? "failed";
    this.code = options.code ?? this.kind;
    this.hint = options.hint;
    this.excerpt = options.excerpt;
    this.details = options.details ?? {};
  }
}
export class DatabaseError extends OperationError {
  name = "DatabaseError";
  step;
  completed;
  server;
  constructor(server, step = 0, options = {}) {
    super(server.message, {
      code: "database_error",
      ...(server.hint === undefined ? {} : { hint: server.hint }),
      ...options,
      details: { ...server, ...options.details },
    });
    this.server = server;
    this.step = step;
    this.completed = options.completed ?? 0;
  }
}
`;

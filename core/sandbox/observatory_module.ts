/**
 * What a plugin gets when it imports "observatory": the values of the contract, as JavaScript. A
 * test compares it with `core/plugin.ts`, whose types a plugin's editor sees.
 */

/** The names that can be imported from it; all others are types. */
export const OBSERVATORY_EXPORTS: ReadonlySet<string> = new Set([
  "definePlugin",
  "command",
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

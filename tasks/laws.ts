/**
 * The laws of the house that a look at one file can hold, as rules of `deno
 * lint`. `docs/ARCHITECTURE.md` tells their reasons; `tests/laws_test.ts` holds
 * the others.
 */

import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = resolve(import.meta.dirname ?? ".", "..");

/** The globals that only the host touches: everything else is handed a host. */
const HOST_GLOBALS: ReadonlySet<string> = new Set(["Deno", "console", "process"]);

/** Where those globals may be used, relative to the root. */
const HOST_FILES = /^(main\.ts$|core\/host\.ts$|core\/host\/|core\/sandbox\/)/;

/** What goes into the program. */
const PRODUCT = /^(main\.ts$|core\/|plugins\/)/;

/** Comments that silence a check as a whole, or leave work undone. */
const FORBIDDEN_COMMENT =
  /@ts-(ignore|nocheck)|deno-lint-ignore-file|deno-lint-ignore[^\n]*\blaws\/|\b(TODO|FIXME|XXX)\b/;

/** Comments that only a test may hold: it proves so that something does not compile. */
const FORBIDDEN_IN_PRODUCT = /@ts-expect-error/;

const plugin: Deno.lint.Plugin = {
  name: "laws",
  rules: {
    /** Law 1: only the host touches the runtime's globals. */
    "host-globals": {
      create(context) {
        const path = pathOf(context);
        if (!PRODUCT.test(path) || HOST_FILES.test(path)) return {};
        return {
          Identifier(node) {
            if (!HOST_GLOBALS.has(node.name) || !isReference(node)) return;
            context.report({
              node,
              message:
                `\`${node.name}\` is used outside core/host.ts, core/host/ and core/sandbox/`,
              hint: "Take what is needed from the host or the plugin's context",
            });
          },
          "MemberExpression > Literal"(node: Deno.lint.Node) {
            if (
              node.type === "Literal" && typeof node.value === "string" &&
              HOST_GLOBALS.has(node.value)
            ) {
              context.report({ node, message: `\`${node.value}\` is used outside core/host.ts` });
            }
          },
        };
      },
    },

    /** Law 2: a built-in imports the contract, its own and the shared files, and Node's modules. */
    "built-in-imports": {
      create(context) {
        const path = pathOf(context);
        if (!path.startsWith("plugins/")) return {};
        return onImports((specifier, node) => {
          if (specifier.startsWith("node:") || isOwn(path, specifier)) return;
          // Packages that a built-in needs stand behind one file, which the build replaces.
          if (path === "plugins/repository/packages.ts" && !/^[./]/.test(specifier)) return;
          context.report({
            node,
            message: `A built-in imports "${specifier}", which is neither the contract nor its own`,
            hint: "If a built-in needs it, the contract in core/plugin.ts lacks something",
          });
        });
      },
    },

    /** Packages are named once, in the import map of deno.json. */
    "import-source": {
      create(context) {
        const path = pathOf(context);
        return onImports((specifier, node) => {
          if (/^(https?|jsr|npm|data|blob):/.test(specifier) || isAbsolute(specifier)) {
            context.report({
              node,
              message: `"${specifier}" is imported by its address`,
              hint: "Name the package in the import map of deno.json and import that name",
            });
          }
        }, (node) => {
          if (PRODUCT.test(path) && !path.startsWith("core/sandbox/")) {
            context.report({
              node,
              message: "A module is imported by a name made at run time",
              hint: "The compiled program holds only modules that are imported by a literal name",
            });
          }
        });
      },
    },

    /** Types are not talked out of, checks not silenced, work not left undone. */
    "no-silencing": {
      create(context) {
        function reportAny(node: Deno.lint.TSAsExpression | Deno.lint.TSTypeAssertion): void {
          if (node.typeAnnotation.type !== "TSAnyKeyword") return;
          context.report({ node, message: "A value is taken for `any`" });
        }
        return {
          TSAsExpression: reportAny,
          TSTypeAssertion: reportAny,
          Program() {
            for (const comment of context.sourceCode.getAllComments()) {
              const found = FORBIDDEN_COMMENT.exec(comment.value) ??
                (PRODUCT.test(pathOf(context)) ? FORBIDDEN_IN_PRODUCT.exec(comment.value) : null);
              if (found !== null) {
                context.report({
                  range: comment.range,
                  message: `A comment holds \`${found[0]}\``,
                });
              }
            }
          },
        };
      },
    },

    /** Law 5: every public export of the product has a docstring. */
    "documented-exports": {
      create(context) {
        if (!/^(core|plugins)\//.test(pathOf(context))) return {};
        const documented = new Set<string>();
        let rowEnd = -1;
        return {
          ExportNamedDeclaration(node) {
            if (node.declaration === null) return;
            const name = nameOf(node.declaration);
            // Constants in a row, without an empty line, share the first one's docstring.
            const inRow = node.declaration.type === "VariableDeclaration" &&
              context.sourceCode.text.slice(rowEnd, node.range[0]) === "\n";
            if (inRow || hasDocstring(node, context.sourceCode)) {
              documented.add(name);
              rowEnd = node.range[1];
            }
            // Of the overloads of a function, the first one tells.
            if (documented.has(name)) return;
            context.report({ node, message: `The export \`${name}\` has no docstring` });
          },
        };
      },
    },
  },
};

export default plugin;

/** The file's path relative to the root. */
function pathOf(context: Deno.lint.RuleContext): string {
  const { filename } = context;
  const path = filename.startsWith("file:") ? fileURLToPath(filename) : filename;
  return relative(ROOT, resolve(ROOT, path));
}

/** Whether an identifier stands for a variable, not for the name of a property. */
function isReference(node: Deno.lint.Identifier): boolean {
  const { parent } = node;
  if (parent.type === "MemberExpression" && parent.property === node && !parent.computed) {
    return parent.object.type === "Identifier" && parent.object.name === "globalThis";
  }
  if (parent.type === "TSQualifiedName") return parent.left === node;
  // The `name` of `{ name }` is seen twice, as the key and as the value.
  return !("key" in parent && parent.key === node) ||
    ("computed" in parent && parent.computed === true);
}

/** Whether a docstring stands before a node; line comments may be in between. */
function hasDocstring(node: Deno.lint.Node, source: Deno.lint.SourceCode): boolean {
  return source.getAllComments().some((comment) =>
    comment.type === "Block" && comment.value.startsWith("*") &&
    comment.range[1] <= node.range[0] &&
    /^(\s|\/\/[^\n]*\n)*$/.test(source.text.slice(comment.range[1], node.range[0]))
  );
}

/** A visitor of every import: static, re-export, type and dynamic. */
function onImports(
  visit: (specifier: string, node: Deno.lint.Node) => void,
  visitUnknown: (node: Deno.lint.Node) => void = () => {},
): Deno.lint.LintVisitor {
  return {
    ImportDeclaration: (node) => visit(node.source.value, node),
    ExportAllDeclaration: (node) => visit(node.source.value, node),
    ExportNamedDeclaration(node) {
      if (node.source !== null) visit(node.source.value, node);
    },
    TSImportType(node) {
      const { argument } = node;
      if (argument.type === "TSLiteralType" && argument.literal.type === "Literal") {
        visit(String(argument.literal.value), node);
      }
    },
    ImportExpression(node) {
      const { source } = node;
      if (source.type === "Literal" && typeof source.value === "string") visit(source.value, node);
      else visitUnknown(node);
    },
  };
}

/** Whether a built-in's import leads to the contract, or stays in the built-in's folder. */
function isOwn(path: string, specifier: string): boolean {
  if (!specifier.startsWith("./") && !specifier.startsWith("../")) return false;
  const target = join(dirname(path), specifier);
  if (target === "core/plugin.ts") return true;
  const [, folder] = path.split("/");
  // What several built-ins do with SQL files, backups and databases stands in folders that are no plugins.
  if (/^plugins\/(sql|repository|database)\//.test(target)) return true;
  // The list of built-ins imports each of them.
  if (path === "plugins/mod.ts") return /^plugins\/[^/]+\/mod\.ts$/.test(target);
  return target.startsWith(`plugins/${folder}/`);
}

/** What an exported declaration is called. */
function nameOf(declaration: Deno.lint.Node): string {
  if (declaration.type === "VariableDeclaration") {
    return declaration.declarations
      .map(({ id }) => id.type === "Identifier" ? id.name : id.type).join(", ");
  }
  const id = "id" in declaration ? declaration.id : undefined;
  return id?.type === "Identifier" ? id.name : declaration.type;
}

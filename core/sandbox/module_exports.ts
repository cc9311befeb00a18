/** The names that a module exports itself: without those that `export *` hands on. */

import type { AnyNode, Pattern, Program } from "acorn";
import { nameOf } from "./source_imports.ts";

/** Lists the names that a module exports. */
export function exportsOf(program: Program): ReadonlySet<string> {
  const names = new Set<string>();
  for (const node of program.body) {
    if (node.type === "ExportDefaultDeclaration") names.add("default");
    if (node.type === "ExportAllDeclaration" && node.exported) names.add(nameOf(node.exported));
    if (node.type !== "ExportNamedDeclaration") continue;
    for (const { exported } of node.specifiers) names.add(nameOf(exported));
    for (const name of declaredNames(node.declaration)) names.add(name);
  }
  return names;
}

function declaredNames(node: AnyNode | null | undefined): string[] {
  if (node?.type === "VariableDeclaration") {
    return node.declarations.flatMap(({ id }) => patternNames(id));
  }
  if (node?.type !== "FunctionDeclaration" && node?.type !== "ClassDeclaration") return [];
  return node.id === null ? [] : [node.id.name];
}

function patternNames(pattern: Pattern | null): string[] {
  switch (pattern?.type) {
    case "Identifier":
      return [pattern.name];
    case "ObjectPattern":
      return pattern.properties.flatMap((each) =>
        patternNames(each.type === "Property" ? each.value : each.argument)
      );
    case "ArrayPattern":
      return pattern.elements.flatMap(patternNames);
    case "AssignmentPattern":
      return patternNames(pattern.left);
    case "RestElement":
      return patternNames(pattern.argument);
    default:
      return [];
  }
}

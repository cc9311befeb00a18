import assert from "assert";
import { knowsRestrict } from "../../plugins/sql/restrict.ts";

Deno.test("\\restrict: is known since 13.22, 14.19, 15.14, 16.10, 17.6, and in all majors after", () => {
  const known = ["13.22", "13.23", "14.19", "15.14", "15.18", "16.10", "17.6", "17.10", "18.0"];
  const unknown = ["9.6.24", "12.22", "13.21", "14.9", "15.13", "16.9", "17.5", "17.0"];
  const knows = (version: string) => knowsRestrict({ version, major: parseInt(version, 10) });
  assert.deepEqual(known.map((version) => [version, knows(version)]), known.map((v) => [v, true]));
  assert.deepEqual(
    unknown.map((version) => [version, knows(version)]),
    unknown.map((v) => [v, false]),
  );
  assert.equal(knowsRestrict({ version: "18beta1", major: 18 }), true);
  assert.equal(knowsRestrict({ version: "17beta1", major: 17 }), false);
});

/** What must hold of the seed data in any database. */

import assert from "assert";
// @ts-types="@types/pg"
import type pg from "pg";
import { rows } from "../observatory_schema.ts";

/** Environments with sample data, and how many rows each gets of it. */
const SAMPLES = {
  development: { traces: [5_000, 20_000], metrics: [5_000, 20_000], logs: [1_000, 20_000] },
  test: { traces: [200, 400], metrics: [200, 2_000], logs: [50, 400] },
} as const;

/** An environment with sample data. */
export type Sample = keyof typeof SAMPLES;

/** All of them. */
export const ENVIRONMENTS: readonly Sample[] = ["development", "test"];

/** Queries that find what is wrong with sample data; none may return a row. */
const FAULTS: Readonly<Record<string, string>> = {
  "a cost that is not what the model's prices make of the tokens": `
    SELECT cost_usd FROM traces LEFT JOIN models ON models.id = model_id
    WHERE cost_usd IS DISTINCT FROM ((input_tokens - cached_input_tokens) * input_price_per_million
      + cached_input_tokens * coalesce(cached_input_price_per_million, input_price_per_million)
      + output_tokens * output_price_per_million) / 1000000`,
  "a call without its model, or a step with one": `
    SELECT FROM traces WHERE (model_id IS NULL) <> (operation NOT IN ('chat', 'embeddings'))`,
  "a model at prices of another time, or more tokens than it takes": `
    SELECT FROM traces JOIN models ON models.id = model_id
    WHERE ts < effective_from OR ts >= effective_to OR input_tokens + output_tokens > context_window`,
  "a chat without a prompt of its project, or before the prompt": `
    SELECT FROM traces LEFT JOIN prompt_versions ON prompt_versions.id = prompt_version_id
    LEFT JOIN prompts ON prompts.id = prompt_id
    WHERE operation = 'chat' AND (prompts.project_id = traces.project_id
      AND prompt_versions.created_at <= ts) IS NOT TRUE`,
  "a span that is not within the one around it": `
    SELECT FROM traces AS child LEFT JOIN traces AS parent
      ON parent.trace_id = child.trace_id AND parent.span_id = child.parent_span_id
      AND parent.project_id = child.project_id
    WHERE child.parent_span_id IS NOT NULL AND (child.ts >= parent.ts
      AND child.ts + child.latency_ms * interval '1 ms'
        <= parent.ts + parent.latency_ms * interval '1 ms') IS NOT TRUE`,
  "a trace with more or fewer roots than one":
    "SELECT trace_id FROM traces GROUP BY 1 HAVING count(*) FILTER (WHERE parent_span_id IS NULL) <> 1",
  "a failure without a message, or a success with one":
    "SELECT FROM traces WHERE (status = 'ok') <> (error_message IS NULL)",
  "a first token after the last one": "SELECT FROM traces WHERE first_token_ms > latency_ms",
  "contents of a project that does not record them": `
    SELECT FROM traces JOIN configurations AS own USING (project_id)
    WHERE own.key = 'trace.record_contents' AND own.value = 'false' 
      AND (input IS NOT NULL OR output IS NOT NULL)`,
  "a log line of a span that is not there": `
    SELECT FROM logs LEFT JOIN traces USING (trace_id, span_id, project_id)
    WHERE logs.trace_id IS NOT NULL AND traces.ts IS NULL`,
  "a failed call without a log line": `
    SELECT FROM traces LEFT JOIN logs USING (trace_id, span_id, project_id)
    WHERE status <> 'ok' AND model_id IS NOT NULL AND severity IS DISTINCT FROM
      CASE status WHEN 'cancelled' THEN 'warn' ELSE 'error' END`,
  "a row older than its project": `
    SELECT FROM projects JOIN (SELECT project_id, ts FROM traces UNION ALL
      SELECT project_id, ts FROM metrics UNION ALL SELECT project_id, ts FROM logs) AS rows
      ON project_id = id WHERE ts < created_at`,
  "an id that the database could give": `
    SELECT FROM metrics WHERE id >= 0 UNION ALL SELECT FROM logs WHERE id >= 0`,
  "a project that lacks keys, prompts, traces, metrics or logs": `
    SELECT slug FROM projects WHERE NOT (id IN (SELECT project_id FROM api_keys)
      AND id IN (SELECT project_id FROM prompts) AND id IN (SELECT project_id FROM traces)
      AND id IN (SELECT project_id FROM metrics) AND id IN (SELECT project_id FROM logs))`,
};

/** Checks the sample data of an environment, and all that comes with it. */
export async function checkSample(client: pg.Client, environment: Sample): Promise<void> {
  for (const [table, [least, most]] of Object.entries(SAMPLES[environment])) {
    const [row] = await rows<{ count: number }>(
      client,
      `SELECT count(*)::int AS count FROM ${table}`,
    );
    const count = row?.count ?? 0;
    assert.ok(count >= least && count <= most, `${environment} has ${count} ${table}`);
  }
  for (const [fault, query] of Object.entries(FAULTS)) {
    assert.equal((await rows(client, query)).length, 0, `${environment} has ${fault}`);
  }
  await checkBase(client);
}

/** Checks what every environment gets. */
export async function checkBase(client: pg.Client): Promise<void> {
  const bare = "SELECT key FROM configurations WHERE coalesce(description, '') = ''";
  assert.deepEqual(await rows(client, bare), []);
  const providers = await rows<{ provider: string }>(
    client,
    "SELECT provider FROM models GROUP BY 1 HAVING count(*) > 1 ORDER BY 1",
  );
  assert.deepEqual(providers.map(({ provider }) => provider), [
    "anthropic",
    "cohere",
    "google",
    "groq",
    "mistral",
    "openai",
  ]);
  const odd = `
    SELECT * FROM models WHERE input_price_per_million IS NULL OR output_price_per_million IS NULL
      OR cached_input_price_per_million >= input_price_per_million OR context_window IS NULL
      OR output_price_per_million NOT BETWEEN input_price_per_million AND 10 * input_price_per_million
        AND output_price_per_million <> 0
      OR max_output_tokens > context_window
      OR effective_from <> date_trunc('day', effective_from, 'UTC') OR effective_from > now()`;
  assert.deepEqual(await rows(client, odd), []);
  const overlapping = `
    SELECT a.name FROM models AS a JOIN models AS b USING (provider, name, version)
    WHERE a.id < b.id AND tstzrange(a.effective_from, a.effective_to)
      && tstzrange(b.effective_from, b.effective_to)`;
  assert.deepEqual(await rows(client, overlapping), []);
}

/** What a check is: one question about the installation, answered with one finding. */
import type { Context, Session } from "../../core/plugin.ts";

/**
 * `ok`: nothing is to be done. `warning`: something will hinder an operation, or soon will. `failed`:
 * something is broken. `skipped`: the question cannot be answered here.
 */
export type Status = "ok" | "warning" | "failed" | "skipped";

/** The answer of a check. */
export interface Finding {
  readonly status: Status;
  /** One sentence. */
  readonly message: string;
  /** What to do about it: one or several lines. */
  readonly remedy?: string;
  /** Facts for programs. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** A server that has answered. */
export interface Server {
  readonly context: Context;
  /** In the target database; where that does not exist, in one that every server has. */
  readonly session: Session;
  /** Whether the session is in the target database. */
  readonly inTarget: boolean;
  /** Such as `15.18`. */
  readonly version: string;
  /** Such as 15. */
  readonly major: number;
}

/** What is known once the server has been asked for its database. */
export interface Reached {
  /** Undefined where the database is missing and the role is let into no other one either. */
  readonly server: Server | undefined;
  /** Whether the target database is there. */
  readonly exists: boolean;
}

/** What a check that needs no server is given; one that asks for it all the same may wait for it. */
export interface Subject {
  readonly context: Context;
  /**
   * Connects, once for all checks.
   *
   * @throws OperationError of kind `connection`, which ends the run
   */
  reach(): Promise<Reached>;
}

/**
 * One check. What it throws is told as its finding: an OperationError as a failure, and a lack of
 * rights as a skip; a lost connection ends the run.
 */
export type Check =
  | { readonly needs: "nothing"; run(subject: Subject): Promise<Finding> }
  | { readonly needs: "server" | "database"; run(server: Server): Promise<Finding> };

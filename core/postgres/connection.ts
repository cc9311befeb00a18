/** One session with a server: its state, and the statements that go through it. */
import {
  DatabaseError,
  OperationError,
  type QueryResult,
  type Row,
  type RowPart,
  type ServerError,
  type SqlParameter,
  type Step,
} from "../plugin.ts";
import { connectionClosed, connectionLost, endsConnection, readServerError } from "./errors.ts";
import {
  cString,
  type MessageHandler,
  type MessageReader,
  printable,
  ProtocolError,
} from "./message_reader.ts";
import type { CopyInOptions } from "./copy.ts";
import type { Line, Receiver } from "./line.ts";
import { extendedQuery, FROM_SERVER, simpleQuery, terminateMessage } from "./messages.ts";
import { runPipeline } from "./pipeline.ts";
import { type Reply, rowsReply, type SimpleResult, textReply } from "./replies.ts";
import type { RowBytes } from "./row_bytes.mjs";
import type { RowStreamOptions } from "./row_stream.ts";
import type { Streamed, StreamOptions } from "./streamed.ts";
import { statusOf, type TransactionStatus, versionNumber } from "./server_state.ts";
import { closeQuietly, type Duplex, writeAll } from "./transport.ts";

/** A session just logged in, as `connect` hands it over. */
export interface Login {
  readonly duplex: Duplex;
  readonly reader: MessageReader;
  readonly address: string;
  readonly tls: boolean;
  readonly pid: number;
  /** What the server reports of its settings. */
  readonly parameters: Map<string, string>;
  readonly onNotice: (notice: ServerError) => void;
  /** Asks the server, by another connection, to cancel what runs here. */
  readonly cancel: () => Promise<void>;
}

/** Somebody who waits for one answer. */
interface Waiting {
  readonly receiver: Receiver;
  /** Called when the answer is complete, or with the reason why it will never be. */
  readonly done: (lost?: OperationError) => void;
}

/** How long the server is given, at the end of a session, to say its last words and close. */
const LAST_WORDS_MS = 1000;

/**
 * One session. One operation runs at a time; further ones wait in the order in
 * which they were asked for.
 */
export class Connection {
  /** Process id of the server process. */
  readonly pid: number;
  /** Where the server is, such as `127.0.0.1:5432` or a socket's path. */
  readonly address: string;
  /** Whether the connection is protected by TLS. */
  readonly tls: boolean;
  /** Resolves when the connection is gone: with the error, when that was not asked for. */
  readonly closed: Promise<OperationError | undefined>;

  readonly #login: Login;
  readonly #line: Line = {
    expect: (receiver, done) => this.#expect(receiver, done),
    send: (bytes) => this.#send(bytes),
    cancel: () => this.cancel(),
  };
  readonly #waiting: Waiting[] = [];
  #next = 0;
  #turn: Promise<unknown> = Promise.resolve();
  #status: TransactionStatus = "idle";
  #lastWords: ServerError | undefined;
  /** Why nothing can be asked any more. */
  #end: OperationError | undefined;
  #closing = false;
  #gone: (error: OperationError | undefined) => void = () => {};
  /** Resolves when the server sends no more. */
  readonly #reading: Promise<void>;
  #writeFailure:
    | { readonly error: unknown; readonly timer: ReturnType<typeof setTimeout> }
    | undefined;

  constructor(login: Login) {
    this.#login = login;
    this.pid = login.pid;
    this.address = login.address;
    this.tls = login.tls;
    this.closed = new Promise((resolve) => this.#gone = resolve);
    this.#reading = this.#receive();
  }

  /** The server's version as a number, such as 150018 for 15.18. */
  get serverVersion(): number {
    return versionNumber(this.parameter("server_version") ?? "");
  }

  /** A setting that the server reports, such as `server_encoding`. */
  parameter(name: string): string | undefined {
    return this.#login.parameters.get(name);
  }

  /** Where the transaction stood when the server last was ready. */
  get transactionStatus(): TransactionStatus {
    return this.#status;
  }

  /**
   * Runs one statement by the extended protocol, in one round trip.
   *
   * @throws DatabaseError when the server reports an error
   * @throws OperationError `connection_lost` when the connection breaks
   */
  query<R = Row>(sql: string, params: readonly SqlParameter[] = []): Promise<QueryResult<R>> {
    return this.#inTurn(async () => {
      // The caller knows what its statement returns, as with every SQL interface.
      return await this.#run(extendedQuery(sql, params), rowsReply()) as QueryResult<R>;
    });
  }

  /**
   * Runs one simple query, which may hold several statements.
   *
   * @returns what each statement gave, with every value as text
   * @throws DatabaseError when the server reports an error
   * @throws OperationError `connection_lost` when the connection breaks
   */
  simple(sql: string | Uint8Array): Promise<SimpleResult[]> {
    return this.#inTurn(() => this.#run(simpleQuery(sql), textReply()));
  }

  /**
   * Sends steps without waiting between them, by the rules of `Session.pipeline`.
   *
   * @throws DatabaseError of the first step that failed, when all answers have come
   * @throws OperationError `connection_lost` when the connection breaks
   */
  pipeline(steps: readonly Step[] | ReadableStream<Step>): Promise<QueryResult<never>[]> {
    return this.#inTurn(() => runPipeline(steps, this.#line));
  }

  /** Runs SQL and streams what it gives, by the rules of `Session.execute`. */
  execute(
    sql: string | Uint8Array,
    options: RowStreamOptions = {},
  ): Promise<Streamed<RowPart>> {
    return this.#streamInTurn(async () => {
      // Only here, as below: most runs of the program stream nothing.
      const { streamRows } = await import("./row_stream.ts");
      return streamRows(sql, { ...options, line: this.#line });
    });
  }

  /** Runs one statement and streams its rows in the server's own bytes, else as `execute` does. */
  rowBytes(sql: string, options: RowStreamOptions = {}): Promise<Streamed<RowBytes>> {
    return this.#streamInTurn(async () => {
      const { streamRowBytes } = await import("./row_stream.ts");
      return streamRowBytes(sql, { ...options, line: this.#line });
    });
  }

  /** Sends data to a copy, by the rules of `Session.copyIn`. */
  copyIn(sql: string, options: Omit<CopyInOptions, "line">): Promise<QueryResult<never>> {
    return this.#inTurn(async () => {
      const { runCopyIn } = await import("./copy.ts");
      return await runCopyIn(sql, { ...options, line: this.#line });
    });
  }

  /** Streams what a copy gives, by the rules of `Session.copyOut`. */
  copyOut(sql: string, options: StreamOptions = {}): Promise<Streamed<Uint8Array>> {
    return this.#streamInTurn(async () => {
      const { streamCopy } = await import("./copy.ts");
      return streamCopy(sql, { ...options, line: this.#line });
    });
  }

  /**
   * Asks the server to cancel what runs now; whether it came in time shows in
   * what the running statement gives.
   *
   * @throws OperationError of kind `connection` when the server cannot be asked
   */
  cancel(): Promise<void> {
    return this.#login.cancel();
  }

  /**
   * Ends the session; safe to call twice. What still waits for an answer fails, but goes on in the
   * server: that is what `cancel` is for. Without such work the server's process has ended when
   * this returns, which takes it a few milliseconds; with `wait: false` it is only told to end.
   */
  async close({ wait = true }: { readonly wait?: boolean } = {}): Promise<void> {
    if (!this.#closing && this.#end === undefined) {
      this.#closing = true;
      const idle = this.#next === this.#waiting.length;
      this.#fail(connectionClosed(this.address));
      if (idle) await this.#terminate(wait);
      closeQuietly(this.#login.duplex);
      this.#gone(undefined);
    }
    await this.closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(() => {
      if (this.#end !== undefined) throw this.#end;
      return work();
    });
    this.#turn = result.catch(() => {});
    return result;
  }

  /** The same, where the next one waits for the end of the answer, too. */
  #streamInTurn<T>(work: () => Promise<Streamed<T>>): Promise<Streamed<T>> {
    const result = this.#inTurn(work);
    this.#turn = result.then(({ answered }) => answered).catch(() => {});
    return result;
  }

  async #run<T>(pieces: readonly Uint8Array[], reply: Reply<T>): Promise<T> {
    const answered = new Promise<void>((resolve, reject) => {
      this.#expect(reply, (lost) => lost === undefined ? resolve() : reject(lost));
    });
    await Promise.all([answered, this.#sendAll(pieces)]);
    if (reply.error !== undefined) throw new DatabaseError(reply.error);
    return reply.result();
  }

  #expect(receiver: Receiver, done: Waiting["done"]): void {
    if (this.#end === undefined) this.#waiting.push({ receiver, done });
    else done(this.#end);
  }

  async #sendAll(pieces: readonly Uint8Array[]): Promise<void> {
    for (const piece of pieces) await this.#send(piece);
  }

  /** Never rejects: who waits for the answer is told why none comes. */
  async #send(bytes: Uint8Array): Promise<void> {
    if (this.#end !== undefined || this.#writeFailure !== undefined) return;
    try {
      await writeAll(this.#login.duplex, bytes);
    } catch (error) {
      // Most likely the server closed the connection, and what it said before is
      // still to be read; the reading end then finishes by itself.
      const timer = setTimeout(() => this.#lose(error), LAST_WORDS_MS);
      this.#writeFailure = { error, timer };
    }
  }

  /** Says goodbye, and where asked for waits until the server has closed the connection in turn. */
  async #terminate(wait: boolean): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, LAST_WORDS_MS));
    try {
      await writeAll(this.#login.duplex, terminateMessage());
      if (wait) await Promise.race([this.#reading, late]);
    } catch {
      // The server is gone already: there is nobody to say goodbye to.
    } finally {
      clearTimeout(timer);
    }
  }

  async #receive(): Promise<void> {
    let thrown: unknown;
    try {
      await this.#login.reader.forEach(this.#handle);
    } catch (error) {
      thrown = error;
    }
    this.#lose(thrown ?? this.#writeFailure?.error);
  }

  /** The connection broke: everybody who waits is told, with the server's last words. */
  #lose(thrown: unknown): void {
    clearTimeout(this.#writeFailure?.timer);
    if (this.#end !== undefined) return;
    const lost = connectionLost(this.address, { server: this.#lastWords, thrown });
    closeQuietly(this.#login.duplex);
    this.#fail(lost);
    this.#gone(lost);
  }

  #fail(error: OperationError): void {
    this.#end = error;
    const waiting = this.#waiting.splice(0).slice(this.#next);
    this.#next = 0;
    for (const { done } of waiting) done(error);
  }

  readonly #handle: MessageHandler = (type, bytes, start, end) => {
    switch (type) {
      case FROM_SERVER.readyForQuery:
        this.#status = statusOf(bytes[start] ?? 0);
        this.#answered();
        return;
      case FROM_SERVER.errorResponse: {
        const error = readServerError(bytes, start, end);
        if (endsConnection(error)) {
          this.#lastWords = error;
          return;
        }
        break;
      }
      case FROM_SERVER.noticeResponse:
        this.#login.onNotice(readServerError(bytes, start, end));
        return;
      case FROM_SERVER.parameterStatus: {
        const name = cString(bytes, start, end);
        this.#login.parameters.set(name.value, cString(bytes, name.next, end).value);
        return;
      }
      case FROM_SERVER.notificationResponse:
        return;
    }
    const current = this.#waiting[this.#next];
    if (current === undefined) {
      throw new ProtocolError(`a message of type ${printable(type)} comes unasked`);
    }
    return current.receiver.receive(type, bytes, start, end);
  };

  #answered(): void {
    const current = this.#waiting[this.#next];
    if (current === undefined) throw new ProtocolError("an answer comes unasked");
    this.#next += 1;
    if (this.#next === this.#waiting.length) {
      this.#waiting.length = 0;
      this.#next = 0;
    }
    current.done();
  }
}

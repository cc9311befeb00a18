/** Tells people why S3 did not do what was asked. */
import { type ErrorKind, OperationError } from "../../core/plugin.ts";
import type { Loss } from "./http_connection.ts";
import { type Failure, failureOf, lacksCredentials, Mismatch } from "./s3_failure.ts";
import type { S3Settings } from "./s3_settings.ts";

/** A failure in words. */
interface Words {
  readonly code: string;
  readonly kind?: ErrorKind;
  readonly why: string;
  readonly hint?: string;
}

/**
 * An error for people, for what the client of S3 threw. It holds no secret and no signature: of what
 * the service told only the name and the sentence are passed on.
 *
 * @param doing what was being done, such as `list s3://bucket/backups`
 * @returns an OperationError for a failure of a request; any other error as it is
 */
export function inWords(
  error: unknown,
  { doing, settings }: { readonly doing: string; readonly settings: S3Settings },
): unknown {
  if (error instanceof Mismatch) {
    const { code, hint } = CORRUPTED;
    return new OperationError(`Cannot ${doing}: ${error.message}`, { code, hint });
  }
  const failure = failureOf(error);
  if (failure === undefined) return error;
  const { code, kind = "failed", why, hint } = wordsOf(failure, settings);
  return new OperationError(`Cannot ${doing}: ${why}`, {
    kind,
    code,
    ...(hint === undefined ? {} : { hint }),
    details: {
      bucket: settings.bucket,
      endpoint: settings.endpoint ?? null,
      status: failure.status ?? null,
      s3_code: failure.code === "" ? null : failure.code,
    },
  });
}

function wordsOf(failure: Failure, settings: S3Settings): Words {
  const { loss, code, status, message } = failure;
  if (loss !== undefined) return lossWords(loss.loss, { message, settings });
  if (lacksCredentials(code)) {
    return {
      kind: "connection",
      code: "no_credentials",
      why: "no credentials were found",
      hint: "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, " +
        "or give the machine or container a role",
    };
  }
  const region = regionWords(failure, settings);
  if (region !== undefined) return region;
  const known = KNOWN[code] ??
    (code === "" || code === "NotFound" ? BY_STATUS[status ?? 0] : undefined);
  if (known !== undefined) return known(settings, failure);
  const told = [message === "" ? undefined : message, `status ${status}`, code]
    .filter((each) => each !== undefined && each !== "").join(", ");
  return { code: "s3_error", why: `the service answered: ${told}` };
}

function lossWords(
  loss: Loss,
  { message, settings }: { readonly message: string; readonly settings: S3Settings },
): Words {
  const where = settings.endpoint ?? `Amazon S3 (${settings.region})`;
  const common = { kind: "connection" } as const;
  const look = settings.endpoint === undefined
    ? "Look whether this machine reaches the internet itself: proxies (HTTPS_PROXY) are not used"
    : "Look at AWS_ENDPOINT_URL_S3, and whether the service runs; proxies (HTTPS_PROXY) are not used";
  switch (loss) {
    case "refused":
      return {
        ...common,
        code: "connection_refused",
        why: `${where} refuses the connection`,
        hint: look,
      };
    case "unknown_host":
      return {
        ...common,
        code: "unknown_host",
        why: `the name of ${where} is not known`,
        hint: look,
      };
    case "unreachable":
      return {
        ...common,
        code: "unreachable",
        why: `${where} cannot be reached (${message})`,
        hint: look,
      };
    case "untrusted":
      return {
        ...common,
        code: "untrusted_certificate",
        why: `the certificate of ${where} is not trusted (${message})`,
        hint: "Set AWS_CA_BUNDLE to the file with the certificate of its authority",
      };
    case "stalled":
      return {
        ...common,
        code: "no_answer",
        why: `${where} does not answer: ${message}`,
        hint: look,
      };
    case "lost":
      return {
        ...common,
        code: "connection_lost",
        why: `the connection to ${where} broke off: ${message}`,
      };
  }
}

function regionWords({ code, status, region }: Failure, settings: S3Settings): Words | undefined {
  const elsewhere = status === 301 || status === 307 ||
    /^(PermanentRedirect|TemporaryRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraintException)$/
      .test(code);
  if (!elsewhere) return undefined;
  return {
    kind: "connection",
    code: "wrong_region",
    why: `the bucket is not in the region ${settings.region}`,
    hint: region === undefined || region === settings.region
      ? "Set AWS_REGION to the bucket's region"
      : `Set AWS_REGION=${region}`,
  };
}

type Wording = (settings: S3Settings, failure: Failure) => Words;

const keyUnknown: Wording = () => ({
  kind: "connection",
  code: "unknown_access_key",
  why: "the service does not know the access key",
  hint: "Look at AWS_ACCESS_KEY_ID, and whether the key belongs to this service",
});

const tokenOver: Wording = () => ({
  kind: "connection",
  code: "expired_credentials",
  why: "the credentials have expired",
  hint: "Get new ones, with AWS_SESSION_TOKEN among them",
});

const accessDenied: Wording = ({ bucket, prefix }) => ({
  code: "access_denied",
  why: "the service does not allow it to these credentials",
  hint: `Allow s3:ListBucket and s3:ListBucketMultipartUploads on the bucket "${bucket}", and ` +
    `s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on "${bucket}/${prefix}*"`,
});

const objectMissing: Wording = () => ({ code: "not_found", why: "there is no such object" });

const CORRUPTED = {
  code: "corrupted_on_the_way",
  why: "other bytes have arrived than were sent",
  hint: "Something between here and the service changes what is sent; try again",
};

const alreadyThere: Wording = () => ({
  code: "already_exists",
  why: "there is an object of that name already",
});

const overloaded: Wording = (_settings, { status, code }) => ({
  code: "service_unavailable",
  why: `the service is not able to do it now (status ${status}${code === "" ? "" : `, ${code}`})`,
  hint: "Try again later",
});

const KNOWN: Readonly<Record<string, Wording>> = {
  NoSuchBucket: ({ bucket }) => ({
    code: "bucket_missing",
    why: `there is no bucket "${bucket}"`,
    hint: "Create it, or set S3_BACKUP_BUCKET to another one",
  }),
  InvalidBucketName: ({ bucket }) => ({
    kind: "usage",
    code: "bad_bucket",
    why: `"${bucket}" is no bucket's name`,
    hint: "Set S3_BACKUP_BUCKET",
  }),
  NoSuchKey: objectMissing,
  NotFound: objectMissing,
  AccessDenied: accessDenied,
  AllAccessDisabled: accessDenied,
  InvalidAccessKeyId: keyUnknown,
  // What versitygw calls it.
  XAdminUserNotFound: keyUnknown,
  SignatureDoesNotMatch: () => ({
    kind: "connection",
    code: "wrong_secret_key",
    why: "the secret of the access key is wrong",
    hint: "Look at AWS_SECRET_ACCESS_KEY: it does not belong to AWS_ACCESS_KEY_ID",
  }),
  RequestTimeTooSkewed: () => ({
    kind: "connection",
    code: "clock_skewed",
    why: "this machine's clock and the service's are too far apart",
    hint: "Set the clock, for example with chrony: requests are refused above 15 minutes",
  }),
  ExpiredToken: tokenOver,
  ExpiredTokenException: tokenOver,
  TokenRefreshRequired: tokenOver,
  InvalidToken: tokenOver,
  PreconditionFailed: alreadyThere,
  NoSuchUpload: () => ({
    code: "upload_gone",
    why: "the service has forgotten the parts that were sent",
    hint: "A rule of the bucket or a clean-up may have removed them; run it again",
  }),
  BadDigest: () => CORRUPTED,
  XAmzContentSHA256Mismatch: () => CORRUPTED,
  EntityTooLarge: () => ({
    code: "too_large",
    why: "the service does not take objects of that size",
  }),
  QuotaExceeded: () => ({ code: "storage_full", why: "the service's quota is used up" }),
  XMinioStorageFull: () => ({ code: "storage_full", why: "the service's disks are full" }),
  SlowDown: overloaded,
  ServiceUnavailable: overloaded,
  InternalError: overloaded,
};

/** For answers without a name, as those to HEAD are. */
const BY_STATUS: Readonly<Record<number, Wording>> = {
  403: accessDenied,
  404: objectMissing,
  412: alreadyThere,
  500: overloaded,
  502: overloaded,
  503: overloaded,
  504: overloaded,
};

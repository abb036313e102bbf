/** The part of `fetch` that the worker needs. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** The coordinator's HTTP API, and the worker's bearer token for it. */
export interface CoordinatorApi {
  readonly httpUrl: string;
  readonly token: string;
}

/** The HTTP that the worker speaks. */

/** The part of `fetch` that it needs. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** The coordinator's HTTP API, and the worker's bearer token there. */
export interface CoordinatorApi {
  readonly httpUrl: string;
  readonly token: string;
}

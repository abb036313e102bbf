/** The part of `@std/streams` that lorafleet uses. */
export declare class TextLineStream extends TransformStream<string, string> {
  constructor(options?: { allowCR?: boolean });
}
export declare function toText(stream: ReadableStream<Uint8Array | string>): Promise<string>;

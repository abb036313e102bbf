/** Error scopes, as WebGPU has them: the innermost one that listens to a kind of error takes the first. */
export class FakeErrors {
  readonly #scopes: { readonly filter: GPUErrorFilter; failure: { readonly message: string } | null }[] = [];

  push(filter: GPUErrorFilter): void {
    this.#scopes.push({ filter, failure: null });
  }

  pop(): { readonly message: string } | null {
    return this.#scopes.pop()?.failure ?? null;
  }

  /** @throws Error outside all scopes: the product watches all errors */
  raise(filter: GPUErrorFilter, message: string): void {
    const scope = this.#scopes.findLast((each) => each.filter === filter);
    if (scope === undefined) throw new Error(`outside all error scopes: ${message}`);
    scope.failure ??= { message };
  }
}

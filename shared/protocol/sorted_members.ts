/** Binary search among members, which are announced and kept sorted by worker id: there may be thousands. */

/** The index of a worker; if it is no member, −1 − the index at which it would be inserted. */
export function placeAmong(members: readonly { readonly worker: string }[], worker: string): number {
  let [first, end] = [0, members.length];
  while (first < end) {
    const middle = (first + end) >> 1;
    const other = members[middle]!.worker;
    if (other === worker) return middle;
    if (other < worker) first = middle + 1;
    else end = middle;
  }
  return -1 - first;
}

export function memberAmong<M extends { readonly worker: string; readonly incarnation: string }>(
  members: readonly M[],
  { worker, incarnation }: { readonly worker: string; readonly incarnation: string },
): M | undefined {
  const member = members[placeAmong(members, worker)];
  return member?.incarnation === incarnation ? member : undefined;
}

/** Members are announced and kept sorted by worker id; with thousands of them it matters to look there by halves. */

/** Where a worker stands among members that are sorted by id; where it is none, −1 − the place at which it would. */
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

/** The member of this worker and incarnation; undefined where there is none. */
export function memberAmong<M extends { readonly worker: string; readonly incarnation: string }>(
  members: readonly M[],
  { worker, incarnation }: { readonly worker: string; readonly incarnation: string },
): M | undefined {
  const member = members[placeAmong(members, worker)];
  return member?.incarnation === incarnation ? member : undefined;
}

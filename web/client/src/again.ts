/** Why an attempt is aborted that is to be followed by another at once. */
export const again = Symbol("again");

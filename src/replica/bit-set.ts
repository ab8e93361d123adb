/** A growing set of small integers (page numbers, offsets in a page): one bit each. */
export class BitSet {
  #words: Uint32Array
  #size = 0

  /** @param capacity numbers below it need no growth */
  constructor(capacity = 1024) {
    this.#words = new Uint32Array(Math.max(1, Math.ceil(capacity / 32)))
  }

  /** How many numbers are in the set. */
  get size(): number {
    return this.#size
  }

  has(number: number): boolean {
    return ((this.#words[number >>> 5] ?? 0) & (1 << (number & 31))) !== 0
  }

  /** True when `number` was not in the set before. */
  add(number: number): boolean {
    const word = number >>> 5
    if (word >= this.#words.length) {
      const grown = new Uint32Array(Math.max(word + 1, this.#words.length * 2))
      grown.set(this.#words)
      this.#words = grown
    }
    const before = this.#words[word]!
    const after = before | (1 << (number & 31))
    if (before === after >>> 0) return false
    this.#words[word] = after
    this.#size++
    return true
  }

  /** True when `number` was in the set before. */
  delete(number: number): boolean {
    if (!this.has(number)) return false
    this.#words[number >>> 5]! &= ~(1 << (number & 31))
    this.#size--
    return true
  }

  *[Symbol.iterator](): Iterator<number> {
    for (let word = 0; word < this.#words.length; word++) {
      let bits = this.#words[word]!
      while (bits !== 0) {
        const bit = 31 - Math.clz32(bits & -bits)
        yield word * 32 + bit
        bits &= bits - 1
      }
    }
  }
}

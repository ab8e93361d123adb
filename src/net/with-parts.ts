/** An object with some of its parts replaced. libp2p's own objects are proxies and classes, which cannot be spread. */
export function withParts<T extends object>(object: T, parts: Partial<T>): T {
  return new Proxy(object, {
    get(target, key) {
      if (Object.hasOwn(parts, key)) return Reflect.get(parts, key)
      const value: unknown = Reflect.get(target, key)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

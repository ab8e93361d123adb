/** The version in package.json, found from the sources and from dist/ alike. */
import { readFileSync } from 'node:fs'

export function readVersion(): string {
  for (const place of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(place, import.meta.url), 'utf8')) as {
        name?: string
        version?: string
      }
      if (name === 'mirrormesh' && version !== undefined) return version
    } catch {
      // The other place, then.
    }
  }
  return 'unknown'
}

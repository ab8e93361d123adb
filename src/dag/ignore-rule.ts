/** What a snapshot records of an ignore rule: one line in gitignore syntax that says something. */

export function isIgnoreRule(text: string): boolean {
  return text.isWellFormed() && text.trim() !== '' && !text.startsWith('#') && !/[\r\n\0]/.test(text)
}

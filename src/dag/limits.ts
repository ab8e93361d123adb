/** Bounds that every encoder refuses to pass and every decoder checks before it allocates. docs/formats.md lists them. */

/** One name, as in every file system of Linux. */
export const MAX_NAME_BYTES = 255
/** Path of an entry below its root, segments joined with `/`: what one system call can take. */
export const MAX_PATH_BYTES = 4095
/** Segments of such a path. */
export const MAX_DEPTH = 1024
export const MAX_SYMLINK_BYTES = 4095
/** UTF-8 bytes of a user's or group's name. */
export const MAX_OWNER_BYTES = 255
/** Bytes of a hard-link group's id. */
export const LINK_BYTES = 8
/** Levels of branches above the leaves of a directory, a file or an index: 64 to the 8th items and more. */
export const MAX_LEVEL = 8
/** Items of one leaf or branch: far over what the builders write, small enough to hold. */
export const MAX_NODE_ITEMS = 16_384
export const MAX_SNAPSHOT_BYTES = 2 * 1024 * 1024
export const MAX_UNCAPTURED_LISTED = 100
/** UTF-8 bytes of a printable path in a snapshot's list of what was not captured: each byte of a path may take four. */
export const MAX_UNCAPTURED_PATH_BYTES = 4 * MAX_PATH_BYTES
export const MAX_REASON_BYTES = 512
export const MAX_NOTES = 64
export const MAX_NOTE_KEY_BYTES = 64
export const MAX_NOTE_BYTES = 4096
/** Bytes of an extended attribute's name and of its value: XATTR_NAME_MAX and XATTR_SIZE_MAX of Linux. */
export const MAX_XATTR_NAME_BYTES = 255
export const MAX_XATTR_VALUE_BYTES = 65_536
/** A set of attributes whose encoding is longer lies in a block of its own, which may be MAX_BLOCK_BYTES long. */
export const MAX_INLINE_XATTR_BYTES = 1024
/** A file's holes start and end at multiples of this, or at its end. */
export const HOLE_GRAIN_BYTES = 4096
/** Holes of one file. Of more the largest are kept. */
export const MAX_HOLES = 4096
/** Rules in gitignore syntax that a snapshot records, and the UTF-8 bytes of all of them. */
export const MAX_IGNORE_RULES = 256
export const MAX_IGNORE_BYTES = 32 * 1024
/** Blocks that one delta gives, and that its window has. */
export const MAX_DELTA_BLOCKS = 1024
/** Ranges of positions that name either. */
export const MAX_DELTA_RANGES = 64

// How do we say what the system says? The codes that paths of users run into have words of ours, which are the same on every machine;
// the rest keep the system's own.

#if canImport(Darwin)
  import Darwin
#elseif canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The reason behind an `errno`, as the end of a sentence: "cannot create: its folder does not exist".
///
/// - Parameter creating: the call was to make a file: then what is missing is its folder.
public func systemMessage(_ code: Int32, creating: Bool = false) -> String {
  switch code {
  case ENOENT where creating: "its folder does not exist; make it first"
  case EINVAL where creating: "a file cannot be called so"
  case ENOTDIR: "a part of the path is not a folder"
  case EISDIR: "it is a folder"
  case ELOOP: "its links lead in a circle"
  case ENAMETOOLONG: "the name is longer than the file system allows"
  case EACCES, EPERM: "no permission"
  case EROFS: "the file system can only be read"
  case ENOSPC: "no space is left on the device"
  case EDQUOT: "the disk quota is used up"
  case EPIPE: "its reader has gone"
  case ENXIO: "nobody is at the other end"
  default: strerror(code).map { String(cString: $0) } ?? "error \(code)"
  }
}

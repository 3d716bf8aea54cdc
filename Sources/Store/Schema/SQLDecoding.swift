// How does stock SQLite, without extensions, read a number out of a packed column? These builders make plain SQL expressions over a
// BLOB: `instr` finds a byte's value in the 256 bytes of the helper table `decoder` (aliased d), and `float_scale` holds the power of
// two of each float exponent, so that every f32 comes out exactly as it was stored (an SQLite REAL is a double).

enum SQLDecoding {
  /// The byte at `index` (0-based, an SQL expression) of `blob`, 0...255.
  static func byte(_ blob: String, _ index: String) -> String {
    "(instr(d.bytes, substr(\(blob), 1 + \(index), 1)) - 1)"
  }

  /// The bit at `index` of a bitmap, least significant bit first; 0 or 1.
  static func bit(_ blob: String, _ index: String) -> String {
    "((\(byte(blob, "(\(index)) / 8")) >> ((\(index)) % 8)) & 1)"
  }

  /// A little-endian unsigned integer of `byteCount` bytes that begins at byte `offset`.
  static func unsigned(_ blob: String, offset: String, byteCount: Int) -> String {
    let bytes = (0..<byteCount).map { place -> String in
      let value = byte(blob, place == 0 ? "(\(offset))" : "(\(offset)) + \(place)")
      return place == 0 ? value : "(\(value) << \(8 * place))"
    }
    return "(\(bytes.joined(separator: " + ")))"
  }

  // A column of a page is fetched whole each time an expression names it, tens of kilobytes for four bytes. The LIMIT keeps SQLite from
  // pasting the inner query into the outer one, so that it is fetched once.

  /// The little-endian f32 that begins at byte `offset`; NULL for NaN and when `blob` is NULL.
  static func float32(_ blob: String, offset: String) -> String {
    """
    (SELECT CASE WHEN bits & 0x7f800000 = 0x7f800000 AND bits & 0x7fffff THEN NULL
            ELSE (1 - 2 * (bits >> 31)) * ((bits & 0x7fffff) + s.leading) * s.scale END
      FROM (SELECT \(unsigned("w", offset: "0", byteCount: 4)) AS bits FROM (SELECT substr(\(blob), 1 + \(offset), 4) AS w LIMIT 1) LIMIT 1)
      JOIN float_scale AS s ON s.exponent = (bits >> 23) & 0xff)
    """
  }

  /// The little-endian f16 that begins at byte `offset`; NULL for NaN and when `blob` is NULL.
  ///
  /// An f16 is an f32 whose exponent is 112 larger and whose mantissa is 13 bits longer; its subnormals lie in the scale of exponent 113.
  static func float16(_ blob: String, offset: String) -> String {
    """
    (SELECT CASE WHEN bits & 0x7c00 = 0x7c00 AND bits & 0x3ff THEN NULL
            WHEN bits & 0x7c00 = 0x7c00 THEN (1 - 2 * (bits >> 15)) * 9e999
            ELSE (1 - 2 * (bits >> 15)) * (((bits & 0x3ff) << 13) + (bits & 0x7c00 <> 0) * s.leading) * s.scale END
      FROM (SELECT \(unsigned("w", offset: "0", byteCount: 2)) AS bits FROM (SELECT substr(\(blob), 1 + \(offset), 2) AS w LIMIT 1) LIMIT 1)
      JOIN float_scale AS s ON s.exponent = max((bits >> 10) & 0x1f, 1) + 112)
    """
  }
}

// Colour scales as values: which colour stands for which level, at each colour depth. Eight levels in 256 colours, not
// more: matching viridis to the colour cube with rising lightness breaks beyond. The user's own palette is never redefined.

/// How many colours the terminal shows.
public enum ColorDepth: String, Hashable, Sendable, CaseIterable, Comparable {
  case mono
  case ansi16
  case indexed256
  case direct

  public static func < (left: ColorDepth, right: ColorDepth) -> Bool {
    let order = allCases
    return (order.firstIndex(of: left) ?? 0) < (order.firstIndex(of: right) ?? 0)
  }
}

/// A sequential scale for heat; `next` cycles through them.
public enum PaletteName: String, Hashable, Sendable, CaseIterable {
  case viridis
  case cividis
  case grey

  public var next: PaletteName {
    switch self {
    case .viridis: .cividis
    case .cividis: .grey
    case .grey: .viridis
    }
  }

  /// Colours from nothing to most; empty in mono, where glyphs take over. Lightness rises strictly, but for the sixteen,
  /// whose looks are the user's.
  public func colors(_ depth: ColorDepth) -> [Color] {
    switch depth {
    case .mono: []
    case .ansi16: sixteen.map(Color.indexed)
    case .indexed256: indexed.map(Color.indexed)
    case .direct: samples.map(Color.direct)
    }
  }

  private var sixteen: [UInt8] {
    switch self {
    case .viridis: [0, 4, 6, 2, 11]
    case .cividis: [0, 4, 7, 11]
    case .grey: [0, 8, 7, 15]
    }
  }

  private var indexed: [UInt8] {
    switch self {
    case .viridis: [17, 53, 24, 30, 36, 78, 119, 226]
    case .cividis: [235, 24, 242, 244, 246, 144, 185, 227]
    case .grey: [233, 236, 239, 242, 245, 248, 251, 255]
    }
  }

  private var samples: [UInt32] {
    switch self {
    case .viridis: PaletteName.viridisSamples
    case .cividis: PaletteName.cividisSamples
    case .grey: (0..<64).map { UInt32($0 * 4) * 0x010101 }
    }
  }

  /// Every fourth entry of the 256-entry table of matplotlib (CC0), Smith and van der Walt 2015.
  private static let viridisSamples: [UInt32] = [
    0x440154, 0x46075A, 0x470D60, 0x471365, 0x48186A, 0x481D6F, 0x482374, 0x482878,
    0x472D7B, 0x46327E, 0x453781, 0x433D84, 0x424186, 0x404688, 0x3E4A89, 0x3C4F8A,
    0x3A538B, 0x38588C, 0x365C8D, 0x34608D, 0x32648E, 0x31688E, 0x2F6C8E, 0x2D708E,
    0x2C738E, 0x2A778E, 0x297B8E, 0x277F8E, 0x26828E, 0x24868E, 0x238A8D, 0x218E8D,
    0x20928C, 0x1F968B, 0x1F9A8A, 0x1F9E89, 0x1FA187, 0x21A585, 0x23A983, 0x26AD81,
    0x2AB07F, 0x2FB47C, 0x35B779, 0x3BBB75, 0x42BE71, 0x4AC16D, 0x52C569, 0x5AC864,
    0x63CB5F, 0x6CCD5A, 0x75D054, 0x7FD34E, 0x89D548, 0x95D840, 0xA0DA39, 0xAADC32,
    0xB5DE2B, 0xC0DF25, 0xCAE11F, 0xD5E21A, 0xDFE318, 0xEAE51A, 0xF4E61E, 0xFDE725,
  ]

  /// Nuñez, Anderton and Renslow 2018, doi:10.1371/journal.pone.0199239; every fourth entry.
  private static let cividisSamples: [UInt32] = [
    0x00224E, 0x002554, 0x00285B, 0x002B62, 0x002E6A, 0x003070, 0x053371, 0x123570,
    0x1A386F, 0x213B6E, 0x273E6E, 0x2E416D, 0x33446D, 0x38476C, 0x3C4A6C, 0x404C6C,
    0x444F6C, 0x48526C, 0x4C556C, 0x50576C, 0x545A6D, 0x575D6D, 0x5B606E, 0x5E636F,
    0x62656F, 0x656870, 0x696B71, 0x6C6E72, 0x707173, 0x737475, 0x777776, 0x7A7A78,
    0x7E7D78, 0x828079, 0x868379, 0x8A8678, 0x8E8978, 0x928C78, 0x958F77, 0x999277,
    0x9D9576, 0xA19975, 0xA59C74, 0xA99F73, 0xADA272, 0xB1A570, 0xB6A96F, 0xBAAC6D,
    0xBEAF6B, 0xC2B369, 0xC6B667, 0xCBB965, 0xCFBD62, 0xD4C15F, 0xD9C55C, 0xDDC858,
    0xE1CC55, 0xE6D051, 0xEAD34C, 0xEFD748, 0xF3DB42, 0xF8DF3C, 0xFDE334, 0xFEE838,
  ]
}

/// Blue, white, orange: lost much, lost, same, gained, gained much. Safe for red-green blindness.
enum DivergingPalette {
  static func colors(_ depth: ColorDepth) -> [Color] {
    switch depth {
    case .mono: []
    case .ansi16: [4, 6, 15, 11, 3].map(Color.indexed)
    case .indexed256, .direct: [25, 110, 253, 215, 166].map(Color.indexed)
    }
  }
}

/// Okabe and Ito 2008, in their order with black last, as grey: a run or an expert keeps its hue everywhere.
enum CategoryPalette {
  static let count = 8

  static func colors(_ depth: ColorDepth) -> [Color] {
    switch depth {
    case .mono: []
    case .ansi16: [11, 14, 2, 3, 4, 1, 5, 7].map(Color.indexed)
    case .indexed256: [178, 74, 36, 227, 25, 166, 175, 246].map(Color.indexed)
    case .direct: [0xE69F00, 0x56B4E9, 0x009E73, 0xF0E442, 0x0072B2, 0xD55E00, 0xCC79A7, 0x999999].map(Color.direct)
    }
  }
}

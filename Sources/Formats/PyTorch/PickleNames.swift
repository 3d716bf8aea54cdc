// Which names of classes and functions may a checkpoint mention, and what do we understand by them? A fixed table: nothing in it is a
// function that is called, and a name that is not in it ends the reading. The names are those that torch.save writes for dictionaries of
// tensors, and a few classes of settings that training scripts put beside them.

/// What is understood by a name.
enum PickleName {
  case orderedDictionary
  /// `collections.defaultdict`
  case defaultDictionary
  /// `_rebuild_tensor_v2`: the storage knows the type of the elements.
  case tensorOfTypedStorage
  /// `_rebuild_tensor_v3`: the type is an argument.
  case tensorOfUntypedStorage
  /// `_rebuild_parameter`: its first argument is the tensor.
  case parameter
  /// A tuple.
  case size
  /// The class of a storage; nil: of bytes.
  case storage(ElementType?)
  /// `torch.float32`.
  case elementType(ElementType)
  /// Its instances are read past; the attributes of settings are kept, nothing is made of them.
  case inert

  /// "module name" as the GLOBAL instruction has it.
  static let table: [String: PickleName] = {
    var table: [String: PickleName] = [
      "collections OrderedDict": .orderedDictionary,
      "collections defaultdict": .defaultDictionary,
      "torch._utils _rebuild_tensor_v2": .tensorOfTypedStorage,
      "torch._utils _rebuild_tensor_v3": .tensorOfUntypedStorage,
      "torch._utils _rebuild_parameter": .parameter,
      "torch._utils _rebuild_parameter_with_state": .parameter,
      "torch Size": .size,
      "torch.storage UntypedStorage": .storage(nil),
      "torch UntypedStorage": .storage(nil),
    ]
    let storages: [String: ElementType] = [
      "Double": .f64, "Float": .f32, "Half": .f16, "BFloat16": .bf16, "Long": .i64, "Int": .i32, "Short": .i16, "Char": .i8,
      "Byte": .u8, "Bool": .bool,
    ]
    for (name, type) in storages { table["torch \(name)Storage"] = .storage(type) }
    let types: [String: ElementType] = [
      "float64": .f64, "float32": .f32, "float16": .f16, "bfloat16": .bf16, "int64": .i64, "int32": .i32, "int16": .i16, "int8": .i8,
      "uint8": .u8, "uint16": .u16, "uint32": .u32, "uint64": .u64, "bool": .bool, "float8_e4m3fn": .f8E4M3, "float8_e5m2": .f8E5M2,
      "float8_e8m0fnu": .f8E8M0,
    ]
    for (name, type) in types { table["torch \(name)"] = .elementType(type) }
    for name in ["argparse Namespace", "pathlib PosixPath", "pathlib WindowsPath", "torch device"] { table[name] = .inert }
    // Settings as OmegaConf keeps them: a tree of nodes, each with what is known of its type.
    for name in ["DictConfig", "ListConfig"] { table["omegaconf.\(name.lowercased()) \(name)"] = .inert }
    for name in ["Metadata", "ContainerMetadata"] { table["omegaconf.base \(name)"] = .inert }
    for kind in ["Any", "String", "Integer", "Float", "Boolean", "Path"] { table["omegaconf.nodes \(kind)Node"] = .inert }
    table["typing Any"] = .inert
    // Python's own types, by their names in protocol 2 and later: as the type of something, and sets.
    for name in ["dict", "list", "tuple", "set", "frozenset", "str", "unicode", "int", "long", "float", "bool", "bytes"] {
      table["__builtin__ \(name)"] = .inert
      table["builtins \(name)"] = .inert
    }
    // Single numbers of numpy: the number, its type, and its bytes as text.
    for module in ["numpy.core.multiarray", "numpy._core.multiarray"] { table["\(module) scalar"] = .inert }
    for name in ["numpy dtype", "_codecs encode"] { table[name] = .inert }
    return table
  }()
}

public struct Tokenizer { init(file: String) throws {}
public var vocabularySize: Int { 0 } }

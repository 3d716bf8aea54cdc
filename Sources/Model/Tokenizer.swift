public struct Tokenizer: Sendable { init(file: String) throws {}
public var vocabularySize: Int { 0 }
public func encode(_ t: String) throws -> [Int32] { [] }
public func tokenBytes(_ t: Int32) -> [UInt8] { [] }
}

public struct Tokenizer { init(file: String) throws {} }

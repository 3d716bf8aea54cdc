// Numbers as programs read them. Those that people read are spelt by `fixedPoint` of Routing.

/// The shortest text that reads back as the same number, without a trailing `.0`.
func plainNumber(_ value: Double) -> String {
  let text = "\(value)"
  return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}

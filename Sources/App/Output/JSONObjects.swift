// Shapes that several commands print as JSON, spelt once.

import Formats
import Model
import Routing

extension JSONWriter {
  /// An array of objects, one an element.
  mutating func objects<Element>(_ name: String, _ elements: [Element], _ body: (inout JSONWriter, Element) -> Void) {
    member(name) { writer in
      writer.array { writer in
        for element in elements { writer.object { body(&$0, element) } }
      }
    }
  }

  mutating func routers(_ routers: [RouterDescription], _ more: (inout JSONWriter, RouterDescription) -> Void = { _, _ in }) {
    objects("routers", routers) { writer, router in
      writer.member("router", router.id.description)
      writer.member("experts", router.spec.expertCount)
      writer.member("top_k", router.spec.topK)
      writer.member("policy", router.spec.summary)
      if let factors = router.more?.factors { writer.member("factors", factors) }
      more(&writer, router)
    }
  }

  mutating func checks(_ checks: [CaptureCheck]) {
    objects("checks", checks) { writer, check in
      writer.member("name", check.name)
      writer.member("outcome", check.outcome.rawValue)
      writer.member("detail", check.detail)
    }
  }

  /// What is stored, by element type.
  mutating func stored(_ types: [ModelFacts.Stored]) {
    objects("stored", types) { writer, stored in
      writer.member("type", stored.type)
      writer.member("tensors", stored.tensors)
      writer.member("parameters", stored.parameters)
      writer.member("bytes", stored.bytes)
    }
  }
}

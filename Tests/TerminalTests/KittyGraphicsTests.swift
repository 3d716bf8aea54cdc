// The bytes by which kitty's protocol shows a picture, changes it and takes it away.

import Foundation
import Testing

@testable import Terminal

struct KittyGraphicsTests {
  private func placed(_ side: Int, _ value: UInt8 = 7, at x: Int = 3, _ y: Int = 2, cells: Int = 4) -> PlacedPicture {
    PlacedPicture(
      PixelView(width: side, height: side, pixels: [UInt8](repeating: value, count: 3 * side * side)),
      in: Rect(x: x, y: y, width: cells, height: cells / 2))
  }

  /// Commands of a text: control and data.
  private func commands(_ text: String) -> [(control: String, data: String)] {
    text.components(separatedBy: "\u{1B}_G").dropFirst().map { part in
      let body = part.components(separatedBy: "\u{1B}\\")[0].components(separatedBy: ";")
      return (body[0], body.count > 1 ? body[1] : "")
    }
  }

  @Test func onePixel() {
    let picture = PlacedPicture(PixelView(width: 1, height: 1, pixels: [1, 2, 3]), in: Rect(x: 3, y: 2, width: 1, height: 1))
    let text = KittyGraphics.show(PlacedPicture(picture.picture.enlarged(by: 1), in: picture.area), id: 9)
    let sent = commands(text)
    #expect(text.hasPrefix("\u{1B}7\u{1B}[3;4H\u{1B}_G") && text.hasSuffix("\u{1B}\\\u{1B}8"))
    #expect(sent.count == 1 && sent[0].control == "a=T,f=24,s=8,v=8,i=9,p=1,c=1,r=1,C=1,q=2,m=0")
    #expect(Data(base64Encoded: sent[0].data) == Data((0..<64).flatMap { _ in [1, 2, 3] as [UInt8] }))
    #expect(KittyGraphics.show(placed(0), id: 9).isEmpty)
  }

  @Test(arguments: [1, 5, 31, 32, 33, 100]) func piecesAreOfTheSizeThatIsAllowed(_ side: Int) {
    let sent = commands(KittyGraphics.show(placed(side, cells: 64), id: 1))
    for (index, command) in sent.enumerated() {
      #expect(command.data.utf8.count <= 4096 && (index == sent.count - 1 || command.data.utf8.count == 4096))
      #expect(command.control.hasSuffix("m=\(index == sent.count - 1 ? 0 : 1)"))
      #expect(index == 0 ? command.control.hasPrefix("a=T,") : command.control.utf8.count == 3)
    }
    let size = sent[0].control.firstMatch(of: /s=(\d+),v=(\d+)/).flatMap { match in Int(match.1).map { ($0, match.2) } }
    let shown = size?.0 ?? 0
    #expect(size.map { "\($0.0)" == $0.1 } == true && shown % side == 0)
    #expect(Data(base64Encoded: sent.map(\.data).joined())?.count == 3 * shown * shown)
    // A slow line is not loaded with what a terminal can enlarge.
    #expect(shown == side || 3 * shown * shown <= KittyGraphics.mostEnlarged)
  }

  @Test func enlargedPixelsAreSquares() {
    let small = PixelView(width: 2, height: 1, pixels: [1, 1, 1, 2, 2, 2])
    let large = small.enlarged(by: 2)
    #expect(large == PixelView(width: 4, height: 2, pixels: [UInt8]([1, 1, 2, 2, 1, 1, 2, 2].flatMap { [$0, $0, $0] })))
    #expect(small.enlarged(by: 1) == small && PixelView(width: 0, height: 0, pixels: []).enlarged(by: 3).width == 0)
  }

  @Test func onlyChangesAreSent() {
    let (first, second) = (KittyGraphics.firstID, KittyGraphics.firstID + 1)
    let two = [placed(2, 1), placed(2, 2, at: 20)]
    func sent(_ old: [PlacedPicture], _ new: [PlacedPicture]) -> [String] {
      commands(KittyGraphics.changes(from: old, to: new)).map { command in
        let verb = String(command.control.prefix(3))
        return verb + (command.control.firstMatch(of: /i=(\d+)/).map { ":\(Int($0.1) == first ? 1 : Int($0.1) == second ? 2 : 0)" } ?? "")
      }
    }
    #expect(sent([], two) == ["a=T:1", "a=T:2"] && sent(two, two).isEmpty)
    // A new picture in the old place takes it over; one elsewhere leaves it first.
    #expect(sent(two, [two[0], placed(2, 9, at: 20)]) == ["a=T:2"])
    #expect(sent(two, [placed(2, 1, at: 5), two[1]]) == ["a=d:1", "a=T:1"])
    #expect(sent(two, []) == ["a=d:1", "a=d:2"] && sent(two, [two[0]]) == ["a=d:2"])
    #expect(KittyGraphics.delete(5) == "\u{1B}_Ga=d,d=I,i=5,q=2\u{1B}\\")
  }

  @Test func theQuestionIsAskedOfWhoeverWantsPictures() {
    #expect(!TerminalProbe.question(pictures: false).contains("_G") && TerminalProbe.question(pictures: true).hasSuffix("\u{1B}[c"))
    func shows(_ reply: String) -> Bool { TerminalProbe.Replies(Array(reply.utf8)).showsPictures }
    #expect(shows("\u{1B}_Gi=7171941;OK\u{1B}\\\u{1B}[?62c") && !shows("\u{1B}_Gi=7171941;ENOTSUPPORTED\u{1B}\\\u{1B}[?62c"))
    let cut = TerminalProbe.Replies(Array("q\u{1B}_Gi=71".utf8))
    #expect(!cut.showsPictures && cut.typed == [UInt8(ascii: "q")])
  }
}

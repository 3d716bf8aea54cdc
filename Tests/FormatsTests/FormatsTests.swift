// Tests to come with the room.

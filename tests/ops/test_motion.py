import torch

from mezzotint.ops.motion import displacement, linear_motion, moved_on


def textured(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 1, 24, 24, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_shift_is_found_where_the_frame_has_texture():
    frame = textured()
    for down, across in ((0, 0), (2, -3), (-6, 6)):
        motion = displacement(frame, frame.roll((down, across), (2, 3)))
        middle = motion[:, :, 10:14, 10:14]
        assert (middle[:, 0] == down).all()
        assert (middle[:, 1] == across).all()


def test_a_still_clip_goes_on_still():
    clip = textured()[:, None].expand(-1, 3, -1, -1, -1)
    assert torch.equal(linear_motion(clip, 5), clip[:, -1:].expand(-1, 5, -1, -1, -1))
    assert torch.equal(linear_motion(clip[:, :1], 5), clip[:, -1:].expand(-1, 5, -1, -1, -1))


def test_a_thing_goes_on_as_it_moved():
    """A textured square on black, two pixels a frame to the right and one down."""
    thing = torch.rand(6, 6, generator=torch.Generator().manual_seed(1))
    clip = torch.full((1, 8, 1, 32, 32), -1.0)
    for t in range(8):
        clip[0, t, 0, 4 + t : 10 + t, 4 + 2 * t : 10 + 2 * t] = thing
    said = linear_motion(clip[:, :4], 4)
    error, copied = ((frames - clip[:, 4:]).square().sum() for frames in (said, clip[:, 3:4]))
    assert error < 0.05 * copied


def test_what_leaves_the_frame_is_gone():
    frame = torch.full((1, 3, 8, 8), -1.0)
    frame[..., 4] = 1.0
    motion = torch.zeros(1, 2, 8, 8, dtype=torch.long)
    motion[:, 1, :, 4] = 2
    assert moved_on(frame, motion, 1)[..., 6].eq(1).all()
    assert moved_on(frame, motion, 2).eq(-1).all()


def test_where_two_places_come_to_one_the_last_is_seen():
    frame = torch.arange(64.0).view(1, 1, 8, 8) / 64
    motion = torch.zeros(1, 2, 8, 8, dtype=torch.long)
    motion[0, 1, 3, 1], motion[0, 1, 3, 5], motion[0, 0, 1, 3] = 2, -2, 2  # all three come to (3, 3)
    assert moved_on(frame, motion, 1)[0, 0, 3, 3] == frame[0, 0, 3, 5]

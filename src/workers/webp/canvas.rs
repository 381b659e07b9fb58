//! What an animated WebP's frames are drawn on (RFC 9649, section "Canvas assembly"), on white, as on most pages. To draw all of it on
//! white is the same as to draw it on nothing and then that on white.

use super::container::Frame;

const WHITE: u8 = 255;

pub(super) struct Canvas {
    width: usize,
    height: usize,
    /// Red, green and blue.
    pixels: Vec<u8>,
    /// The place that is emptied before the next frame.
    going: Option<Frame>,
}

impl Canvas {
    pub(super) fn new(width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        Self { width, height, pixels: vec![WHITE; width * height * 3], going: None }
    }

    pub(super) fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Whether a frame lies inside of it.
    pub(super) fn holds(&self, frame: &Frame) -> bool {
        let inside = |at: u32, side: u32, whole: usize| u64::from(at) + u64::from(side) <= whole as u64;
        inside(frame.x, frame.width, self.width) && inside(frame.y, frame.height, self.height)
    }

    /// What has to be done before the next frame, whether that can be drawn or not.
    pub(super) fn clear(&mut self) {
        if let Some(frame) = self.going.take() {
            self.rows(&frame).for_each(|row| row.fill(WHITE));
        }
    }

    /// Draws a frame that it holds: `picture` has three bytes a pixel, or four where it `has_alpha`.
    pub(super) fn draw(&mut self, frame: &Frame, picture: &[u8], has_alpha: bool) {
        let pixel = if has_alpha { 4 } else { 3 };
        let from = picture.chunks_exact(frame.width as usize * pixel);
        for (row, from) in self.rows(frame).zip(from) {
            if !has_alpha {
                row.copy_from_slice(from);
                continue;
            }
            for (to, from) in row.chunks_exact_mut(3).zip(from.chunks_exact(4)) {
                for (to, color) in to.iter_mut().zip(from) {
                    let below = if frame.blends { *to } else { WHITE };
                    *to = over(*color, below, from[3]);
                }
            }
        }
        self.going = frame.goes.then_some(*frame);
    }

    fn rows(&mut self, frame: &Frame) -> impl Iterator<Item = &mut [u8]> {
        let (x, width) = (frame.x as usize * 3, frame.width as usize * 3);
        let rows = self.pixels.chunks_exact_mut(self.width * 3);
        rows.skip(frame.y as usize).take(frame.height as usize).map(move |row| &mut row[x..x + width])
    }
}

fn over(color: u8, below: u8, alpha: u8) -> u8 {
    let alpha = u32::from(alpha);
    ((u32::from(color) * alpha + u32::from(below) * (255 - alpha) + 127) / 255) as u8
}

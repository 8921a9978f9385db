//! Treemap: rectangles as large as numbers say, as nearly square as may be, which fill a rectangle.
//!
//! The layout is that of Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000): rows along the shorter side, each
//! filled for as long as that makes its worst rectangle no longer and thinner.

/// A rectangle, in whatever unit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rectangle {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Rectangle {
    /// Cuts a strip off its longer side that has this share of it; what is left, and the strip.
    fn cut(self, share: f64) -> (Self, Self) {
        let Self { x, y, width, height } = self;
        if width >= height {
            let taken = width * share;
            (Self { x: x + taken, width: width - taken, ..self }, Self { width: taken, ..self })
        } else {
            let taken = height * share;
            (Self { y: y + taken, height: height - taken, ..self }, Self { height: taken, ..self })
        }
    }

    /// A part of a strip along its longer side, from one share of it to another.
    fn part(self, along_width: bool, from: f64, to: f64) -> Self {
        let Self { x, y, width, height } = self;
        if along_width {
            Self { x: x + width * from, width: width * (to - from), ..self }
        } else {
            Self { y: y + height * from, height: height * (to - from), ..self }
        }
    }
}

/// A rectangle for each size, in their order, which fill `area`. Sizes descend, for the best result, and are not
/// negative.
pub(super) fn layout(sizes: &[u64], area: Rectangle) -> Vec<Rectangle> {
    let mut rectangles = Vec::with_capacity(sizes.len());
    let (mut rest, mut space) = (sizes, area);
    let mut left: u64 = sizes.iter().sum();
    while !rest.is_empty() && left > 0 {
        let (row, behind) = rest.split_at(row(rest, left, space));
        let sum: u64 = row.iter().sum();
        let along_width = space.width < space.height;
        let (remaining, strip) = space.cut(sum as f64 / left as f64);
        let mut at = 0;
        for size in row {
            let share = |at: u64| at as f64 / sum.max(1) as f64;
            rectangles.push(strip.part(along_width, share(at), share(at + size)));
            at += size;
        }
        (rest, space) = (behind, remaining);
        left -= sum;
    }
    rectangles.resize(sizes.len(), Rectangle { width: 0.0, height: 0.0, ..space });
    rectangles
}

/// How many of the sizes, of which `left` is the sum, make the best next row in `space`.
fn row(sizes: &[u64], left: u64, space: Rectangle) -> usize {
    let side = space.width.min(space.height);
    let unit = space.width * space.height / left as f64;
    // How long the worst rectangle of a row is for its width.
    let worst = |sum: u64, smallest: u64, largest: u64| {
        let thickness = sum as f64 * unit / side;
        let longest = largest as f64 * unit / thickness;
        let shortest = smallest as f64 * unit / thickness;
        (longest / thickness).max(thickness / shortest)
    };
    let (mut sum, mut smallest, mut largest) = (0, u64::MAX, 0);
    let mut best = f64::INFINITY;
    for (count, size) in sizes.iter().enumerate() {
        (sum, smallest, largest) = (sum + size, smallest.min(*size), largest.max(*size));
        let now = worst(sum, smallest, largest);
        if count > 0 && (now > best || now.is_nan()) {
            return count;
        }
        best = now;
    }
    sizes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Rectangle = Rectangle { x: 10.0, y: 20.0, width: 600.0, height: 400.0 };

    fn area(rectangle: &Rectangle) -> f64 {
        rectangle.width * rectangle.height
    }

    #[test]
    fn rectangles_are_as_large_as_they_should_be_and_fill_the_space() {
        let lists: [&[u64]; 5] =
            [&[1], &[6, 6, 4, 3, 2, 2, 1], &[1_000_000, 1], &[5; 100], &[900, 50, 30, 10, 5, 3, 1, 1]];
        for sizes in lists {
            let rectangles = layout(sizes, AREA);
            let sum: u64 = sizes.iter().sum();
            for (size, rectangle) in sizes.iter().zip(&rectangles) {
                let expected = area(&AREA) * *size as f64 / sum as f64;
                assert!((area(rectangle) - expected).abs() < 1e-6 * expected, "{sizes:?}: {rectangles:?}");
                let inside = rectangle.x >= AREA.x - 1e-9
                    && rectangle.y >= AREA.y - 1e-9
                    && rectangle.x + rectangle.width <= AREA.x + AREA.width + 1e-9
                    && rectangle.y + rectangle.height <= AREA.y + AREA.height + 1e-9;
                assert!(inside, "{sizes:?}: {rectangles:?}");
            }
            for (index, a) in rectangles.iter().enumerate() {
                for b in &rectangles[index + 1..] {
                    let wide = (a.x + a.width).min(b.x + b.width) - a.x.max(b.x);
                    let high = (a.y + a.height).min(b.y + b.height) - a.y.max(b.y);
                    assert!(wide < 1e-9 || high < 1e-9, "{sizes:?}: {a:?} lies over {b:?}");
                }
            }
        }
    }

    #[test]
    fn rectangles_are_nearly_square() {
        // The example of the paper: slices would be up to 16 times as long as wide.
        let rectangles = layout(&[6, 6, 4, 3, 2, 2, 1], AREA);
        let ratio = |r: &Rectangle| (r.width / r.height).max(r.height / r.width);
        assert!(rectangles.iter().all(|rectangle| ratio(rectangle) < 3.0), "{rectangles:?}");
    }

    #[test]
    fn nothing_takes_no_space() {
        assert_eq!(layout(&[], AREA), []);
        assert!(layout(&[0, 0], AREA).iter().all(|rectangle| area(rectangle) == 0.0));
        let rectangles = layout(&[3, 0], AREA);
        assert_eq!((area(&rectangles[0]), area(&rectangles[1])), (area(&AREA), 0.0));
    }
}

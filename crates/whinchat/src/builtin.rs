//! The model that every copy of the program carries, so that the first command works with no download.

use std::sync::Arc;

use model::Checkpoint;

use crate::Error;

/// The name of the model in this program: what stands for it wherever a model is asked for, and its id in the API.
pub const BUILTIN: &str = "whinchat-demo";

/// A file of weights expects that its bytes begin where a page does, or at least a line of the cache.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("../../../models/whinchat-demo/whinchat-demo.gguf"));

/// Opens the model in this program. Nothing is copied: the weights are read where the program is mapped.
///
/// # Errors
/// None that a test of this program would not have found.
pub fn builtin() -> Result<Arc<Checkpoint>, Error> {
    Ok(Checkpoint::from_gguf_bytes(&FILE.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_model_is_small_aligned_and_goes_by_its_name() {
        assert!(FILE.0.as_ptr().addr().is_multiple_of(64));
        assert!(FILE.0.len() <= 6 << 20, "{} bytes", FILE.0.len());
        let checkpoint = builtin().expect("it opens");
        assert_eq!(checkpoint.name(), BUILTIN);
        assert_eq!(checkpoint.bind(None).expect("it binds").spec().context, 2048);
        assert!(checkpoint.chat_template().expect("a text").is_some_and(|template| template.contains("tools")));
    }

    #[test]
    fn its_weights_are_read_where_the_program_is_mapped() {
        let checkpoint = builtin().expect("it opens");
        let inside = FILE.0.as_ptr_range();
        for tensor in checkpoint.tensors() {
            assert!(inside.contains(&checkpoint.bytes(tensor).as_ptr()), "{}", tensor.name);
        }
    }
}

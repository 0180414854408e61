class CancelledError(Exception):
    pass


class ApplicationError(Exception):
    def __init__(self, message, type=None, non_retryable=False):
        super().__init__(message)
        self.type, self.non_retryable = type, non_retryable

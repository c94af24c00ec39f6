"""Accounts of the uploads.

UPLOAD_ACCOUNTS = {'base': ['a_docstring']}
"""
import os
from typing import Any, Dict, List

os.system("touch it-was-run")

# プラットフォーム別アカウント
UPLOAD_ACCOUNTS: Dict[str, List[str]] = {
    'base': [
        'base_account_1',
        'base_account_2',  # 二つ目
        'Base-Account 3',
    ],
    'ebay': ['ebay_account_1'],
    # 'yahoo': ['yahoo_account_1'],
}

DAEMON_CONFIG = {
    'interval_seconds': 60,
    'batch_size': 10,
    'business_hours_start': 6,
    'business_hours_end': 23,
}

ACCOUNT_SPECIFIC_CONFIG: Dict[str, Dict[str, Any]] = {
    'base_account_1': {'batch_size': 15, 'interval_seconds': 30, 'daily_upload_limit': 1_000},
    'base_account_2': {
        'business_hours_start': 9, 'business_hours_end': 18, 'rate_limit_per_hour': 50,
        'active': False,
        'credentials': {
            'client_id': 'canary-client', "client_secret": "canary-" 'secret',
            'access_token': 'canary-access', 'refresh_token': """canary-refresh""",
            'proxy': os.environ['SHOP_2_PROXY'],
        },
        'shop_password': 'canary-password',
    },
    'base_account_9': {'batch_size': 1},
}

CHATWORK_API_TOKEN = 'canary-chatwork'
LOG_DIR = os.path.join('canary', 'logs')
VERBOSE = True


def get_accounts(platform):
    UPLOAD_ACCOUNTS = {'base': ['inside_a_function']}
    return UPLOAD_ACCOUNTS.get(platform, [])
